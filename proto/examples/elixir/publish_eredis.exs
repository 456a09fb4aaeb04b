# Publishes a text through Redis: REDIS_URL=redis://… elixir publish_eredis.exs TEXT [CHANNEL]. With eredis (Debian: erlang-redis-client).
[text, channel | _] = System.argv() ++ ["news"]
url = URI.parse(System.get_env("REDIS_URL", "redis://localhost:6379"))
{:ok, redis} = :eredis.start_link(to_charlist(url.host), url.port || 6379)

with [user, password] <- String.split(url.userinfo || "", ":", parts: 2),
     do: {:ok, "OK"} = :eredis.q(redis, ["AUTH", user, password])

{:ok, [id, _position, outcome]} = :eredis.q(redis, ["FCALL", "sse_publish", 1, "sse:" <> channel, text, "event", "greeting"])
IO.puts("#{id} #{outcome}")
