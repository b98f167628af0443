// An application of FastCGI: go run fastcgi.go PORT. For fastcgi.py, or a web server:
// `fastcgi_pass 127.0.0.1:PORT; fastcgi_keep_conn on;` in nginx.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	panic(fcgi.Serve(listener, http.HandlerFunc(answer)))
}

func answer(w http.ResponseWriter, r *http.Request) {
	count, _ := io.Copy(io.Discard, r.Body)
	switch {
	case r.URL.Path == "/missing":
		http.NotFound(w, r)
	case r.URL.Query().Has("fail"):
		http.Error(w, "failed", http.StatusInternalServerError)
	default:
		fmt.Fprintf(w, "%s %d", r.URL.Path, count)
	}
}
