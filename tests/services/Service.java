import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;

/**
 * A plan service on the JDK's HTTP server and client: a pool of threads, blocking sockets. With
 * {@code -Dheard=true} it writes a line of JSON for each request: its path and its header lines.
 */
public final class Service {
  private static final byte[] BODY = "done\n".getBytes(StandardCharsets.UTF_8);
  private static final int THREADS = 128;
  private static final boolean HEARD = Boolean.getBoolean("heard");

  public static void main(String[] arguments) throws IOException {
    var address =
        new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(arguments[0]));
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
      if (header != null) {
        new Plan(header).carryOut();
      }
      exchange.sendResponseHeaders(200, BODY.length);
      exchange.getResponseBody().write(BODY);
    } catch (IOException | RuntimeException | InterruptedException failure) {
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

  private static void fetch(String url, String plan) throws IOException {
    var connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
    connection.setRequestProperty("X-Plan", plan);
    try (var body = connection.getInputStream()) {
      body.readAllBytes();
    }
  }

  /** The plan protocol of plan.py, as much of JSON as it needs: the JDK has no parser. */
  private static final class Plan {
    private final String text;
    private int at;
    private int workMs;
    private final List<String[]> calls = new ArrayList<>();

    Plan(String text) {
      this.text = text;
      object(
          key -> {
            switch (key) {
              case "work_ms" -> workMs = Integer.parseInt(raw());
              case "calls" -> array(this::call);
              default -> raw();
            }
          });
    }

    void carryOut() throws IOException, InterruptedException {
      Thread.sleep(workMs);
      for (var call : calls) {
        fetch(call[0], call[1]);
      }
    }

    private void call() {
      String[] call = {null, "{}"};
      object(
          key -> {
            var value = raw();
            switch (key) {
              case "url" -> call[0] = value.substring(1, value.length() - 1);
              case "plan" -> call[1] = value;
              default -> {}
            }
          });
      calls.add(call);
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
