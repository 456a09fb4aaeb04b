// Reads a channel and after every break goes on where it was: java Subscribe.java [URL]. JDK 17, no library.
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.util.List;
import static java.nio.charset.StandardCharsets.UTF_8;

class Subscribe {
    static String lastId = "", id, type, data;
    static long retryMs = 3000;
    static void line(String line) {
        var colon = line.indexOf(':');
        var value = colon < 0 ? "" : line.substring(colon + 1).replaceFirst("^ ", "");
        switch (colon < 0 ? line : line.substring(0, colon)) {
            case "event" -> type = value.isEmpty() ? "message" : value;
            case "data" -> data += value + "\n";
            case "id" -> id = value;
            case "retry" -> retryMs = value.matches("[0-9]{1,9}") ? Long.parseLong(value) : retryMs;
        }
        if (!line.isEmpty()) return;
        if (!data.isEmpty()) System.out.println(type + ": " + data.substring(0, data.length() - 1));
        begin(id);
    }
    static void begin(String last) { id = lastId = last; type = "message"; data = ""; }

    public static void main(String[] args) throws InterruptedException {
        var url = args.length > 0 ? args[0] : "http://localhost:4043/channels/news";
        url += url.contains("?") ? "&last_event_id=" : "?last_event_id="; // a header holds Latin-1 only, an id any text
        for (var client = HttpClient.newHttpClient(); ; Thread.sleep(retryMs)) {
            var request = HttpRequest.newBuilder(URI.create(url + URLEncoder.encode(lastId, UTF_8))).header("Accept", "text/event-stream").build();
            begin(lastId);
            try {
                var answer = client.send(request, HttpResponse.BodyHandlers.ofLines());
                if (!List.of(200, 429, 502, 503, 504).contains(answer.statusCode())) throw new IllegalStateException("" + answer.statusCode());
                answer.body().forEach(Subscribe::line);
            } catch (IOException | UncheckedIOException e) { } // it broke
        }
    }
}
