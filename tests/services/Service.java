import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * A plan service on the JDK's HTTP server and client: a pool of threads, blocking sockets. With
 * {@code -Dheard=true} it writes a line of JSON for each request: its path and its header lines.
 */
public final class Service {
  private static final byte[] BODY = "done\n".getBytes(StandardCharsets.UTF_8);
  private static final int THREADS = 640;
  private static final boolean HEARD = Boolean.getBoolean("heard");

  /** Makes calls that are to be under way at once: the client knows blocking calls only. */
  private static final ExecutorService CALLERS = Executors.newCachedThreadPool();

  public static void main(String[] arguments) throws IOException {
    var host = System.getenv().getOrDefault("SERVICE_ADDRESS", "127.0.0.1");
    var address = new InetSocketAddress(host, Integer.parseInt(arguments[0]));
    var server = HttpServer.create(address, 1024);
    server.setExecutor(Executors.newFixedThreadPool(THREADS));
    server.createContext("/", Service::serve);
    server.start();
  }

  private static void serve(HttpExchange exchange) throws IOException {
    try (exchange) {
      if (HEARD) {
        System.out.println(heard(exchange));
      }
      var header = exchange.getRequestHeaders().getFirst("X-Plan");
      var status = header == null ? 200 : new Plan(header).carryOut();
      exchange.sendResponseHeaders(status, BODY.length);
      exchange.getResponseBody().write(BODY);
    } catch (Exception failure) {
      failure.printStackTrace();
      throw new IOException(failure);
    }
  }

  private static String heard(HttpExchange exchange) {
    var lines = new ArrayList<String>();
    exchange
        .getRequestHeaders()
        .forEach(
            (name, values) ->
                values.forEach(value -> lines.add("[" + quoted(name) + "," + quoted(value) + "]")));
    var path = quoted(exchange.getRequestURI().getPath());
    return "{\"path\":" + path + ",\"headers\":[" + String.join(",", lines) + "]}";
  }

  private static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }

  /** Returns the status of the answer, read to its end. */
  private static int fetch(String url, String plan) throws IOException {
    var connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
    connection.setRequestProperty("X-Plan", plan);
    var status = connection.getResponseCode();
    try (var body = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
      body.readAllBytes();
    }
    return status;
  }

  /** A call of a plan; `retry` is null where there is none. */
  private record Call(String url, String plan, Call retry) {
    Void carryOut() throws IOException {
      var status = fetch(url, plan);
      if (status != 200) {
        if (retry == null) throw new IOException(url + " answered " + status);
        retry.carryOut();
      }
      return null;
    }
  }

  /** The plan protocol of plan.py, as much of JSON as it needs: the JDK has no parser. */
  private static final class Plan {
    private final String text;
    private int at;
    private int workMs;
    private int status = 200;
    private boolean atOnce;
    private final List<Call> calls = new ArrayList<>();

    Plan(String text) {
      this.text = text;
      object(
          key -> {
            switch (key) {
              case "work_ms" -> workMs = Integer.parseInt(raw());
              case "status" -> status = Integer.parseInt(raw());
              case "at_once" -> atOnce = !raw().isEmpty();
              case "calls" -> array(() -> calls.add(call()));
              default -> raw();
            }
          });
    }

    /** Returns the status to answer with. */
    int carryOut() throws IOException, InterruptedException, ExecutionException {
      Thread.sleep(workMs);
      if (atOnce) {
        List<Callable<Void>> tasks = new ArrayList<>();
        for (var call : calls) tasks.add(call::carryOut);
        for (var result : CALLERS.invokeAll(tasks)) result.get();
      } else {
        for (var call : calls) call.carryOut();
      }
      return status;
    }

    private Call call() {
      String[] text = {null, "{}"};
      Call[] retry = {null};
      object(
          key -> {
            switch (key) {
              case "url" -> {
                var quoted = raw();
                text[0] = quoted.substring(1, quoted.length() - 1);
              }
              case "plan" -> text[1] = raw();
              case "retry" -> retry[0] = call();
              default -> raw();
            }
          });
      return new Call(text[0], text[1], retry[0]);
    }

    private void object(java.util.function.Consumer<String> member) {
      list(
          '}',
          () -> {
            var key = raw();
            skip();
            at++; // the colon
            skip();
            member.accept(key.substring(1, key.length() - 1));
          });
    }

    private void array(Runnable element) {
      list(']', element);
    }

    private void list(char end, Runnable element) {
      at++; // the opening bracket
      for (skip(); text.charAt(at) != end; skip()) {
        if (text.charAt(at) == ',') {
          at++;
          skip();
        }
        element.run();
      }
      at++;
    }

    /** The text of the value that begins here. URLs and numbers hold no escapes. */
    private String raw() {
      var start = at;
      var depth = 0;
      for (var quoted = false; at < text.length(); at++) {
        var c = text.charAt(at);
        if (c == '"') {
          quoted = !quoted;
        } else if (!quoted) {
          if (depth == 0 && (c == ',' || c == '}' || c == ']' || c == ':')) break;
          if (c == '{' || c == '[') depth++;
          if (c == '}' || c == ']') depth--;
        }
      }
      return text.substring(start, at).strip();
    }

    private void skip() {
      while (Character.isWhitespace(text.charAt(at))) at++;
    }
  }
}
