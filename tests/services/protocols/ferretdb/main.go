// A server that speaks MongoDB's protocol: ferretdb PORT DIRECTORY/. Keeps its data in SQLite.
package main

import (
	"context"
	"os"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	f, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:" + os.Args[1]},
		Handler:   "sqlite",
		SQLiteURL: "file:" + os.Args[2],
	})
	if err != nil {
		panic(err)
	}
	panic(f.Run(context.Background()))
}
