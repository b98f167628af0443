// Uses a RabbitMQ broker on 127.0.0.1:PORT as Go's client does it: several publishes wait for their
// confirms at a time, several messages for one acknowledgement. Prints one line of JSON for each operation.
//
//	amqp_go PORT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// log says what was done; more are pairs of what else it was.
func log(op, name string, more ...any) {
	fields := map[string]any{"op": op, "name": name}
	for i := 0; i < len(more); i += 2 {
		fields[more[i].(string)] = more[i+1]
	}
	line, err := json.Marshal(fields)
	check(err)
	fmt.Println(string(line))
}

// contexts are those of a message.
func contexts(i int) []string {
	return []string{fmt.Sprintf("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86b%02x", i)}
}

func main() {
	connection, err := amqp.Dial(fmt.Sprintf("amqp://guest:guest@127.0.0.1:%s/", os.Args[1]))
	check(err)
	publisher, err := connection.Channel()
	check(err)
	consumer, err := connection.Channel()
	check(err)
	check(publisher.ExchangeDeclare("clew.go", "direct", false, true, false, false, nil))
	log("exchange.declare", "exchange.declare")
	_, err = publisher.QueueDeclare("clew.go.queue", false, true, false, false, nil)
	check(err)
	log("queue.declare", "queue.declare")
	check(publisher.QueueBind("clew.go.queue", "key", "clew.go", true, nil))
	log("queue.bind", "queue.bind")
	check(publisher.Confirm(false))
	check(consumer.Qos(10, 0, false))
	deliveries, err := consumer.Consume("clew.go.queue", "", false, false, false, false, nil)
	check(err)

	var confirms []*amqp.DeferredConfirmation
	for i := range 6 {
		confirm, err := publisher.PublishWithDeferredConfirmWithContext(context.Background(), "clew.go", "key", false, false, amqp.Publishing{
			Headers:   amqp.Table{"b3": contexts(i)[0] + "-1", "n": int32(i)},
			MessageId: fmt.Sprint("m-", i),
			Body:      []byte("hello"),
		})
		check(err)
		confirms = append(confirms, confirm)
	}
	for i, confirm := range confirms {
		if !confirm.Wait() {
			panic("not confirmed")
		}
		log("publish", "publish clew.go", "kind", "producer", "contexts", contexts(i))
	}
	for i := range 6 {
		delivery := <-deliveries
		if i%3 == 2 {
			check(delivery.Ack(true))
		}
		// The broker has no span for what it delivers.
		log("process", "process clew.go.queue", "kind", "consumer", "contexts", contexts(i), "served", false)
	}
	check(consumer.Close())
	check(connection.Close())
}
