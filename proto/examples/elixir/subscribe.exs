# Reads a channel and after every break goes on where it was: elixir subscribe.exs [URL]. OTP's own client, no library.
defmodule Subscriber do
  def run(s) do # `buffer`, because :httpc holds back what it reads together with the head
    url = s.url <> if(s.url =~ "?", do: "&", else: "?") <> URI.encode_query(last_event_id: s.last_id)
    {:ok, ref} = :httpc.request(:get, {url, [{'accept', 'text/event-stream'}]}, [connect_timeout: 10_000], sync: false, stream: :self, socket_opts: [buffer: 32])
    s = read(Map.merge(s, %{id: s.last_id, type: "message", data: [], rest: ""}), ref)
    :httpc.cancel_request(ref)
    Process.sleep(s.retry)
    run(s)
  end

  defp read(s, ref) do
    receive do
      {:http, {^ref, :stream_start, _}} -> read(s, ref)
      {:http, {^ref, :stream, bytes}} -> s |> take(bytes) |> read(ref)
      {:http, {^ref, {{_, status, _}, _, body}}} when status not in [429, 502, 503, 504] -> raise "#{status} #{body}"
      {:http, answer} when elem(answer, 0) == ref -> s # its end, an error, or a status that another try may change
    after 60_000 -> s # a minute without even a keep-alive: it is dead
    end
  end

  defp take(s, bytes) do
    {lines, [rest]} = String.split(s.rest <> bytes, ~r/\r\n|\n|\r(?!\z)/) |> Enum.split(-1)
    lines |> Enum.map(&Regex.run(~r/^([^:]*):? ?(.*)$/s, &1)) |> Enum.reduce(%{s | rest: rest}, &line/2)
  end

  defp line(["", _, _], s) do
    if s.data != [], do: IO.puts("#{s.type}: #{s.data |> Enum.reverse() |> Enum.join("\n")}")
    %{s | last_id: s.id, type: "message", data: []}
  end
  defp line([_, "event", type], s) when type != "", do: %{s | type: type}
  defp line([_, "data", text], s), do: %{s | data: [text | s.data]}
  defp line([_, "id", id], s), do: %{s | id: id}
  defp line([_, "retry", ms], s), do: if(ms =~ ~r/^\d+$/, do: %{s | retry: String.to_integer(ms)}, else: s)
  defp line(_, s), do: s
end

Application.ensure_all_started(:inets)
Subscriber.run(%{url: hd(System.argv() ++ ["http://localhost:4043/channels/news"]), last_id: "", retry: 3000})
