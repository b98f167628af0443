// Talks to PostgreSQL with pgx, and says what it did: postgres PORT. See postgres.py.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func log(op, name string, more map[string]any) {
	line := map[string]any{"op": op, "name": name}
	for key, value := range more {
		line[key] = value
	}
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx := context.Background()
	url := fmt.Sprintf("postgres://clew@127.0.0.1:%s/clew?sslmode=disable", os.Args[1])
	db, err := pgx.Connect(ctx, url)
	must(err)
	defer db.Close(ctx)
	for id := 1; id <= 2; id++ {
		var item string
		must(db.QueryRow(ctx, "SELECT item FROM orders WHERE id = $1", id).Scan(&item))
		log("query", "SELECT orders", map[string]any{"rows": 1})
	}
	_, err = db.Exec(ctx, "UPDATE orders SET price = $1 WHERE id = $2", 5, 3)
	must(err)
	log("update", "UPDATE orders", nil)
	_, err = db.Exec(ctx, "SELECT 1 / $1::int", 0)
	var failed *pgconn.PgError
	if errors.As(err, &failed) {
		log("error", "SELECT", map[string]any{"error": failed.Code})
	}
	_, err = db.Exec(ctx, "SELECT nothing FROM nowhere WHERE id = $1", 0)
	if errors.As(err, &failed) {
		log("prepare error", "SELECT nowhere", map[string]any{"error": failed.Code})
	}
	batch := &pgx.Batch{}
	for id := 1; id <= 3; id++ {
		batch.Queue("SELECT item FROM orders WHERE id = $1", id)
	}
	must(db.SendBatch(ctx, batch).Close())
	for id := 1; id <= 3; id++ {
		log("batch", "SELECT orders", map[string]any{"rows": 1})
	}
	_, err = db.CopyFrom(ctx, pgx.Identifier{"orders"}, []string{"item"},
		pgx.CopyFromRows([][]any{{"copied"}, {"copied too"}}))
	must(err)
	log("copy in", `COPY "orders"`, nil)
}
