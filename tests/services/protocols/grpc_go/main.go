// Calls the server of grpc_server.py from Go.
//
//	go run . PORT
//
// Messages are bytes, so no code is generated. Prints a line of JSON for each call: its own log.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// raw passes messages on as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = append([]byte(nil), data...); return nil }
func (raw) Name() string                       { return "raw" }

const service = "clew.test.Echo/"

func log(op, method string, err error) {
	said := code.Code(status.Code(err))
	// Nothing that a server is at fault for (RPC conventions).
	served := err != nil && said != code.Code_NOT_FOUND
	line := "{\"op\": %q, \"name\": %q, \"error\": %t, \"server_error\": %t, " +
		"\"attributes\": {\"rpc.response.status_code\": %q}}\n"
	fmt.Printf(line, op, service+method, err != nil, served, said)
}

func main() {
	connection, err := grpc.NewClient("passthrough:///127.0.0.1:"+os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	unary := func(ctx context.Context, method, text string) {
		in, out := []byte(text), []byte(nil)
		err := connection.Invoke(ctx, "/"+service+method, &in, &out)
		log("unary", method, err)
	}
	unary(context.Background(), "Unary", "one")
	stream, err := connection.NewStream(context.Background(),
		&grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"Chat")
	for _, text := range []string{"p", "q", "r"} {
		in, out := []byte(text), []byte(nil)
		if err == nil {
			err = stream.SendMsg(&in)
		}
		if err == nil {
			err = stream.RecvMsg(&out)
		}
	}
	if err == nil {
		err = stream.CloseSend()
	}
	var out []byte
	if err == nil {
		if end := stream.RecvMsg(&out); end.Error() != "EOF" {
			err = end
		}
	}
	log("both", "Chat", err)
	unary(context.Background(), "Fail", "")
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	unary(short, "Sleep", "")
	cancel()
	unary(context.Background(), "Unary", "last")
}
