// Talks to Cassandra with gocql, and says what it did.
//
//	go run . PORT [VERSION [COMPRESSION]]
//
// The server has what cassandra.py makes. Prints one line of JSON per operation: its name as its span
// should have it.
package main

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"sync"

	"github.com/gocql/gocql"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// The attributes that tell what this program knows.
var told = map[string]string{
	"rows": "db.response.returned_rows",
	"size": "db.operation.batch.size",
	"code": "db.response.status_code",
}

func log(op, name string, more map[string]any) {
	attributes := map[string]any{}
	for key, value := range more {
		attributes[told[key]] = value
	}
	line := map[string]any{"op": op, "name": name, "error": more["code"], "attributes": attributes}
	check(json.NewEncoder(os.Stdout).Encode(line))
}

func main() {
	port, err := strconv.Atoi(os.Args[1])
	check(err)
	cluster := gocql.NewCluster("127.0.0.1")
	cluster.Port = port
	cluster.ProtoVersion = 4
	if len(os.Args) > 2 {
		cluster.ProtoVersion, err = strconv.Atoi(os.Args[2])
		check(err)
	}
	if len(os.Args) > 3 {
		cluster.Compressor = &gocql.SnappyCompressor{}
	}
	cluster.Authenticator = gocql.PasswordAuthenticator{Username: "cassandra", Password: "cassandra"}
	cluster.Keyspace = "shop"
	cluster.NumConns = 1
	cluster.DisableInitialHostLookup = true
	cluster.IgnorePeerAddr = true
	db, err := cluster.CreateSession()
	check(err)
	defer db.Close()
	log("use", "USE", nil)

	insert := "INSERT INTO orders (id, item) VALUES (?, ?)"
	for id := range 3 {
		check(db.Query(insert, 100+id, "item").Consistency(gocql.One).Exec())
		log("insert", "INSERT orders", nil)
	}
	rows := db.Query("SELECT id FROM orders WHERE id IN (100, 101, 102)").PageSize(2).Iter()
	check(rows.Close())
	log("select", "SELECT orders", map[string]any{"rows": 2})

	var all sync.WaitGroup
	for id := range 8 {
		all.Go(func() {
			var item string
			err := db.Query("SELECT item FROM orders WHERE id = ?", 100+id).Scan(&item)
			if err != nil && !errors.Is(err, gocql.ErrNotFound) {
				panic(err)
			}
			found := 1
			if err != nil {
				found = 0
			}
			log("select", "SELECT orders", map[string]any{"rows": found})
		})
	}
	all.Wait()

	batch := db.NewBatch(gocql.UnloggedBatch)
	for id := range 4 {
		batch.Query(insert, 110+id, "item")
	}
	check(db.ExecuteBatch(batch))
	log("batch", "BATCH INSERT orders", map[string]any{"size": 4})

	_, err = db.Query("INSERT INTO orders (id, item) VALUES (?, ?) IF NOT EXISTS", 100, "x").
		MapScanCAS(map[string]any{})
	check(err)
	log("insert if", "INSERT orders", map[string]any{"rows": 1})

	err = db.Query("SELECT nothing FROM orders").Exec()
	var failed gocql.RequestError
	if !errors.As(err, &failed) {
		panic(err)
	}
	log("error", "SELECT orders", map[string]any{"code": failed.Code()})
}
