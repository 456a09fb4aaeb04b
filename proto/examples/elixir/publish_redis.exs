# Publishes a text through Redis: REDIS_URL=redis://… elixir publish_redis.exs TEXT [CHANNEL]. With Redix. Not run here.
Mix.install([{:redix, "~> 1.5"}])

[text, channel | _] = System.argv() ++ ["news"]
{:ok, redis} = Redix.start_link(System.get_env("REDIS_URL", "redis://localhost:6379"))
[id, _position, outcome] = Redix.command!(redis, ["FCALL", "sse_publish", "1", "sse:" <> channel, text, "event", "greeting"])
IO.puts("#{id} #{outcome}")
