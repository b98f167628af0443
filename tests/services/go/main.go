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
	Status int    `json:"status,omitempty"`
	AtOnce string `json:"at_once,omitempty"`
	Calls  []call `json:"calls,omitempty"`
}

type call struct {
	URL   string `json:"url"`
	Plan  plan   `json:"plan"`
	Retry *call  `json:"retry,omitempty"`
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 1024}}

func (p plan) carryOut() error {
	time.Sleep(time.Duration(p.WorkMs) * time.Millisecond)
	if p.AtOnce != "" {
		return p.carryOutAtOnce()
	}
	for _, c := range p.Calls {
		if err := c.carryOut(); err != nil {
			return err
		}
	}
	return nil
}

func (p plan) carryOutAtOnce() error {
	failures := make(chan error, len(p.Calls))
	for _, c := range p.Calls {
		go func(c call) { failures <- c.carryOut() }(c)
	}
	var failure error
	for range p.Calls {
		if err := <-failures; err != nil {
			failure = err
		}
	}
	return failure
}

func (c call) carryOut() error {
	status, err := c.fetch()
	if err != nil || status == http.StatusOK {
		return err
	}
	if c.Retry == nil {
		return fmt.Errorf("%s answered %d", c.URL, status)
	}
	return c.Retry.carryOut()
}

// Returns the status of the answer, read to its end.
func (c call) fetch() (int, error) {
	header, err := json.Marshal(c.Plan)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequest(http.MethodGet, c.URL, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("X-Plan", string(header))
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	return response.StatusCode, nil
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
	if p.Status != 0 {
		w.WriteHeader(p.Status)
	}
	fmt.Fprintln(w, "done")
}

func main() {
	address := os.Getenv("SERVICE_ADDRESS")
	if address == "" {
		address = "127.0.0.1"
	}
	log.Fatal(http.ListenAndServe(address+":"+os.Args[1], http.HandlerFunc(serve)))
}
