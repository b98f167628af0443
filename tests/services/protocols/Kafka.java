import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** A client of Kafka (kafka-clients): prints one line of JSON per operation. java Kafka.java PORT */
public class Kafka {
    public static void main(String[] arguments) throws Exception {
        var server = "127.0.0.1:" + arguments[0];
        var settings = new Properties();
        settings.put("bootstrap.servers", server);
        settings.put("client.id", "java-producer");
        settings.put("linger.ms", "50");
        settings.put("enable.metrics.push", "false");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < 3; number++) {
                var record = new ProducerRecord<>("java-orders", 0, "key", "value " + number);
                record.headers().add("traceparent",
                    "00-1af7651916cd43dd8448eb211c80319c-000000000000000%d-01".formatted(number + 1)
                        .getBytes(StandardCharsets.UTF_8));
                producer.send(record);
            }
            producer.flush();
            System.out.println("{\"op\": \"send\", \"name\": \"send java-orders\", \"kind\": \"producer\","
                + "\"attributes\": {\"messaging.batch.message_count\": 3,"
                + "\"messaging.destination.partition.id\": 0, \"messaging.kafka.offset\": 0},"
                + "\"contexts\": [\"1af7651916cd43dd8448eb211c80319c-0000000000000002\"]}");
        }
        settings.put("client.id", "java-zipped");
        settings.put("compression.type", "gzip");
        settings.put("transactional.id", "java-transaction");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>("java-orders", 1, null, "zipped")).get();
            producer.commitTransaction();
            System.out.println("{\"op\": \"send\", \"name\": \"send java-orders\", \"kind\": \"producer\","
                + "\"attributes\": {\"messaging.destination.partition.id\": 1}}");
        }
        settings = new Properties();
        settings.put("bootstrap.servers", server);
        settings.put("client.id", "java-consumer");
        settings.put("group.id", "java-group");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("enable.metrics.push", "false");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("java-orders"));
            for (int got = 0; got < 4;) {
                var records = consumer.poll(Duration.ofSeconds(1));
                got += records.count();
                if (records.count() > 0) {
                    System.out.println("{\"op\": \"poll\", \"name\": \"poll java-orders\", \"kind\": \"client\","
                        + "\"attributes\": {\"messaging.batch.message_count\": " + records.count() + "},"
                        // The broker sends them from its files (sendfile), where they are not seen.
                        + "\"server_attributes\": {\"messaging.destination.name\": \"java-orders\"},"
                        + "\"contexts\": [\"1af7651916cd43dd8448eb211c80319c-0000000000000002\"]}");
                }
            }
            consumer.commitSync();
            System.out.println("{\"op\": \"commit\", \"name\": \"OffsetCommit\"}");
            consumer.poll(Duration.ofSeconds(1));
        }
    }
}
