# Publishes a text once, however often it has to ask: elixir publish.exs TEXT [URL]. OTP's own client, no library.
defmodule Publisher do
  # The key makes all tries one: a second one gets the first one's answer, and nothing is sent again.
  def publish(text, url, key \\ Base.encode16(:crypto.strong_rand_bytes(16)), attempts \\ 10)
  def publish(_, _, _, 0), do: raise("not published")

  def publish(text, url, key, attempts) do
    request = {url, [{'idempotency-key', to_charlist(key)}], 'text/plain', text}

    case :httpc.request(:post, request, [timeout: 10_000], body_format: :binary) do
      {:ok, {{_, 200, _}, _, body}} ->
        body

      {:ok, {{_, status, _}, _, body}} when status not in [429, 502, 503, 504] ->
        raise "#{status} #{body}"

      _ ->
        Process.sleep(1000)
        publish(text, url, key, attempts - 1)
    end
  end
end

Application.ensure_all_started(:inets)
[text, url | _] = System.argv() ++ ["http://localhost:4043/channels/news"]
IO.puts(Publisher.publish(text, url))
