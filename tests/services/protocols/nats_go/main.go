// A client of NATS (nats.go), with JetStream: prints one line of JSON per operation. It takes the port.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	address := "nats://tester:secret@127.0.0.1:" + os.Args[1]
	connection, err := nats.Connect(address, nats.NoReconnect())
	must(err)
	defer connection.Close()
	got, err := connection.SubscribeSync("go.orders")
	must(err)
	message := nats.NewMsg("go.orders")
	message.Header.Set("Traceparent", "00-1af7651916cd43dd8448eb211c80319c-0000000000000001-01")
	message.Data = []byte("order")
	must(connection.PublishMsg(message))
	fmt.Println(`{"op": "publish", "name": "publish go.orders"}`)
	_, err = got.NextMsg(5 * time.Second)
	must(err)
	fmt.Println(`{"op": "process", "name": "process go.orders"}`)

	stream, err := connection.JetStream()
	must(err)
	_, err = stream.AddStream(&nats.StreamConfig{Name: "GO", Subjects: []string{"go.kept.>"}})
	must(err)
	_, err = stream.Publish("go.kept.a", []byte("kept"))
	must(err)
	fmt.Println(`{"op": "request", "name": "request go.kept.a"}`)
	pull, err := stream.PullSubscribe("go.kept.>", "worker")
	must(err)
	messages, err := pull.Fetch(1, nats.MaxWait(5*time.Second))
	must(err)
	fmt.Println(`{"op": "process", "name": "process go.kept.a"}`)
	must(messages[0].Ack())
	must(connection.Flush())
}
