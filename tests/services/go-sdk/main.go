// A plan service with OpenTelemetry's own SDK: Go's net/http, instrumented by otelhttp. See
// ../plan.py for the protocol.
//
// Usage: sdk-service PORT. Writes a line of JSON for each request: its path and its header lines.
// Where its spans go, and which it samples, is told by OpenTelemetry's environment variables.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

type plan struct {
	WorkMs int    `json:"work_ms"`
	Calls  []call `json:"calls,omitempty"`
}

type call struct {
	URL  string `json:"url"`
	Plan plan   `json:"plan"`
}

var client = http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}

func (p plan) carryOut(ctx context.Context) error {
	time.Sleep(time.Duration(p.WorkMs) * time.Millisecond)
	for _, c := range p.Calls {
		if err := c.fetch(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c call) fetch(ctx context.Context) error {
	header, err := json.Marshal(c.Plan)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Plan", string(header))
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", c.URL, response.StatusCode)
	}
	return nil
}

func serve(w http.ResponseWriter, r *http.Request) {
	var p plan
	if header := r.Header.Get("X-Plan"); header != "" {
		if err := json.Unmarshal([]byte(header), &p); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	if err := p.carryOut(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "done")
}

// heard writes down what arrived before anything else looks at it.
func heard(next http.Handler) http.Handler {
	var lock sync.Mutex
	lines := json.NewEncoder(os.Stdout)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers := [][2]string{}
		for name, values := range r.Header {
			for _, value := range values {
				headers = append(headers, [2]string{name, value})
			}
		}
		lock.Lock()
		err := lines.Encode(map[string]any{"path": r.URL.Path, "headers": headers})
		lock.Unlock()
		if err != nil {
			log.Fatal(err)
		}
		next.ServeHTTP(w, r)
	})
}

func main() {
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithBatcher(exporter)))
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(
		propagation.TraceContext{}, propagation.Baggage{}))
	service := heard(otelhttp.NewHandler(http.HandlerFunc(serve), "serve"))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], service))
}
