// A plan service on Go's net/http: goroutines, kept connections. See plan.py for the protocol.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

type plan struct {
	WorkMs int    `json:"work_ms"`
	Calls  []call `json:"calls,omitempty"`
}

type call struct {
	URL  string `json:"url"`
	Plan plan   `json:"plan"`
}

func (p plan) carryOut() error {
	time.Sleep(time.Duration(p.WorkMs) * time.Millisecond)
	for _, c := range p.Calls {
		if err := c.fetch(); err != nil {
			return err
		}
	}
	return nil
}

func (c call) fetch() error {
	header, err := json.Marshal(c.Plan)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodGet, c.URL, nil)
	if err != nil {
		return err
	}
	request.Header.Set("X-Plan", string(header))
	response, err := http.DefaultClient.Do(request)
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
	if err := p.carryOut(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "done")
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(serve)))
}
