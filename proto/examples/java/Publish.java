// Publishes a text once, however often it has to ask: java Publish.java TEXT [URL]. JDK 17, no library.
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.UUID;

class Publish {
    public static void main(String[] args) throws InterruptedException {
        var uri = URI.create(args.length > 1 ? args[1] : "http://localhost:4043/channels/news");
        var key = UUID.randomUUID().toString(); // makes all tries one: a second one gets the first one's answer
        var request = HttpRequest.newBuilder(uri).header("Content-Type", "text/plain").header("Idempotency-Key", key)
            .timeout(Duration.ofSeconds(10)).POST(BodyPublishers.ofString(args[0])).build();
        var client = HttpClient.newHttpClient();
        for (int attempt = 0; attempt < 10; ++attempt) {
            try {
                var answer = client.send(request, BodyHandlers.ofString());
                if (answer.statusCode() == 200) {
                    System.out.println(answer.body());
                    return;
                }
                if (!List.of(429, 502, 503, 504).contains(answer.statusCode()))
                    throw new IllegalStateException(answer.statusCode() + " " + answer.body());
            } catch (IOException e) {
                // no answer
            }
            Thread.sleep(1000);
        }
        throw new IllegalStateException("not published");
    }
}
