// Sends one message as a partner and prints its answers (Java 17, com.rabbitmq:amqp-client):
//   java -cp amqp-client.jar:slf4j-api.jar Client.java amqp://maple:password@host/ maple FILE
import com.rabbitmq.client.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;

public class Client {
    public static void main(String[] given) throws Exception {
        var factory = new ConnectionFactory();
        factory.setUri(given[0]);
        try (var connection = factory.newConnection(); var channel = connection.createChannel()) {
            channel.confirmSelect();
            var sent = UUID.randomUUID().toString();
            var properties = new AMQP.BasicProperties.Builder()
                .messageId(sent).userId(factory.getUsername()).deliveryMode(2).build();
            channel.addReturnListener(back -> System.exit(3)); // there is no such queue
            channel.basicPublish("customs.in", "in." + given[1], true, properties, Files.readAllBytes(Path.of(given[2])));
            channel.waitForConfirmsOrDie(30_000); // without the broker's confirm nothing is certain: send the same bytes again
            var seen = new HashSet<String>(); // at least once: keep these ids where a restart does not lose them
            for (long end = System.nanoTime() + 30_000_000_000L; System.nanoTime() < end; Thread.sleep(50)) {
                var answer = channel.basicGet("out." + given[1], false);
                if (answer == null) continue;
                var about = answer.getProps();
                var kind = about.getHeaders().get("kind").toString();
                var mine = sent.equals(about.getCorrelationId());
                if (mine && seen.add(about.getMessageId()))
                    System.out.println(kind + ": " + new String(answer.getBody(), StandardCharsets.ISO_8859_1));
                channel.basicAck(answer.getEnvelope().getDeliveryTag(), false); // only now, when it is kept on your side
                if (mine && !Set.of("receipt", "accepted", "contrl").contains(kind)) return; // refused, or the engine's word
            }
            System.err.println("no further answer within 30 seconds");
            System.exit(1);
        }
    }
}
