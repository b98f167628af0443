import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Calls grpc_server.py in all four ways (grpc-netty), with an error, a deadline and a cancellation: prints one line
 * of JSON per call. java Grpc.java PORT
 */
public class Grpc {
    private static final String SERVICE = "clew.test.Echo";

    /** Messages are bytes, so no code is generated. */
    private static final MethodDescriptor.Marshaller<byte[]> BYTES = new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
            return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }
    };

    private static ManagedChannel channel;

    private static MethodDescriptor<byte[], byte[]> method(String name, MethodType type) {
        return MethodDescriptor.newBuilder(BYTES, BYTES)
            .setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE, name))
            .setType(type)
            .build();
    }

    private static void unary(String name, CallOptions options, int length) {
        ClientCalls.blockingUnaryCall(channel, method(name, MethodType.UNARY), options, new byte[length]);
    }

    private static void log(String name, String status) {
        var error = status.equals("OK") ? "null" : "\"" + status + "\"";
        // Nothing that a server is at fault for (RPC conventions).
        var blameless = status.equals("NOT_FOUND") || status.equals("CANCELLED");
        System.out.printf("{\"name\": \"%s/%s\", \"error\": %s%s, "
            + "\"attributes\": {\"rpc.response.status_code\": \"%s\"}}%n",
            SERVICE, name, error, blameless ? ", \"server_error\": false" : "", status);
    }

    /** Waits for the end of a call. */
    private static final class Answers implements StreamObserver<byte[]> {
        private final CountDownLatch ended = new CountDownLatch(1);

        @Override
        public void onNext(byte[] value) {}

        @Override
        public void onError(Throwable error) {
            ended.countDown();
        }

        @Override
        public void onCompleted() {
            ended.countDown();
        }

        private void await() throws InterruptedException {
            if (!ended.await(10, TimeUnit.SECONDS)) {
                throw new IllegalStateException("no end");
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        channel = NettyChannelBuilder.forAddress("127.0.0.1", Integer.parseInt(arguments[0])).usePlaintext().build();
        var options = CallOptions.DEFAULT;
        unary("Unary", options, 3);
        log("Unary", "OK");
        unary("Unary", options, 10_000);
        log("Unary", "OK");

        var answers = new Answers();
        var collect = channel.newCall(method("Collect", MethodType.CLIENT_STREAMING), options);
        var requests = ClientCalls.asyncClientStreamingCall(collect, answers);
        for (int number = 0; number < 3; number++) {
            requests.onNext(new byte[] {1});
        }
        requests.onCompleted();
        answers.await();
        log("Collect", "OK");

        var repeat = method("Repeat", MethodType.SERVER_STREAMING);
        ClientCalls.blockingServerStreamingCall(channel, repeat, options, new byte[4]).forEachRemaining(one -> {});
        log("Repeat", "OK");

        answers = new Answers();
        var chat = channel.newCall(method("Chat", MethodType.BIDI_STREAMING), options);
        requests = ClientCalls.asyncBidiStreamingCall(chat, answers);
        requests.onNext(new byte[] {1});
        requests.onNext(new byte[] {2});
        requests.onCompleted();
        answers.await();
        log("Chat", "OK");

        for (var name : new String[] {"Fail", "Nowhere", "Sleep"}) {
            var limited = name.equals("Sleep") ? options.withDeadlineAfter(300, TimeUnit.MILLISECONDS) : options;
            try {
                unary(name, limited, 0);
            } catch (StatusRuntimeException error) {
                log(name, error.getStatus().getCode().name());
            }
        }

        var sleep = channel.newCall(method("Sleep", MethodType.UNARY), options);
        ClientCalls.futureUnaryCall(sleep, new byte[0]);
        // Something else in the meantime: the cancelled call has been sent by then.
        unary("Unary", options, 100);
        log("Unary", "OK");
        sleep.cancel("enough", null);
        log("Sleep", "CANCELLED");
        unary("Unary", options, 4);
        log("Unary", "OK");
        channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }
}
