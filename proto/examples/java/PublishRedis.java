// Publishes a text through Redis: REDIS_URL=redis://… java -cp 'jedis/*' PublishRedis.java TEXT [CHANNEL]. With Jedis 5. Not run here.
import java.util.List;
import redis.clients.jedis.JedisPooled;

class PublishRedis {
    public static void main(String[] args) {
        var channel = args.length > 1 ? args[1] : "news";
        try (var redis = new JedisPooled(System.getenv().getOrDefault("REDIS_URL", "redis://localhost:6379"))) {
            var answer = (List<?>) redis.fcall("sse_publish", List.of("sse:" + channel), List.of(args[0], "event", "greeting"));
            System.out.println(answer.get(0) + " " + answer.get(2)); // id, outcome
        }
    }
}
