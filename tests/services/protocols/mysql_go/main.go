// Talks to MariaDB with go-sql-driver, and says what it did.
//
//	go run . PORT
//
// The server has what mysql.py's `prepare` makes. Values are sent to statements that are prepared, never
// as text. Prints one line of JSON per span.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func log(name string, rows int, err error) {
	attributes := map[string]any{"db.system.name": "mariadb", "db.namespace": "shop"}
	line := map[string]any{"name": name, "attributes": attributes}
	if rows >= 0 {
		attributes["db.response.returned_rows"] = rows
	}
	var failed *mysql.MySQLError
	if errors.As(err, &failed) {
		line["error"] = failed.Number
		attributes["db.response.status_code"] = fmt.Sprint(failed.Number)
	} else {
		check(err)
	}
	check(json.NewEncoder(os.Stdout).Encode(line))
}

type asker interface {
	QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error)
}

var ctx = context.Background()

func count(rows *sql.Rows, err error) (int, error) {
	if err != nil {
		return -1, err
	}
	defer rows.Close()
	found := 0
	for rows.Next() {
		found++
	}
	return found, rows.Err()
}

func query(db asker, name, text string, values ...any) {
	rows, err := count(db.QueryContext(ctx, text, values...))
	log(name, rows, err)
}

func open(options string) (*sql.DB, *sql.Conn) {
	db, err := sql.Open("mysql", "root@tcp(127.0.0.1:"+os.Args[1]+")/shop?"+options)
	check(err)
	conn, err := db.Conn(ctx)
	check(err)
	return db, conn
}

func main() {
	db, conn := open("multiStatements=true")
	defer db.Close()
	// Prepared, executed once and closed.
	query(conn, "SELECT orders", "SELECT item, price FROM orders WHERE id < ? AND item <> ?", 7, "secret word")
	query(conn, "SELECT orders", "SELECT item FROM orders WHERE id < ?", 0)
	query(conn, "SELECT nowhere", "SELECT nothing FROM nowhere WHERE id = ?", 1)

	insert, err := conn.PrepareContext(ctx, "INSERT INTO orders (item, price) VALUES (?, ?)")
	check(err)
	get, err := conn.PrepareContext(ctx, "SELECT id, price, item FROM orders WHERE item = ?")
	check(err)
	for number := range 5 {
		_, err = insert.ExecContext(ctx, fmt.Sprintf("go %d", number), nil)
		log("INSERT orders", -1, err)
		rows, err := count(get.QueryContext(ctx, fmt.Sprintf("go %d", number)))
		log("SELECT orders", rows, err)
	}
	// Longer than what is captured of a send; its value is too long for the column that takes it.
	_, err = insert.ExecContext(ctx, strings.Repeat("x", 70_000), 1)
	log("INSERT orders", -1, err)
	_, err = insert.ExecContext(ctx, strings.Repeat("x", 20_000), 1)
	log("INSERT orders", -1, err)
	check(get.Close())
	check(insert.Close())

	// As text.
	trace := "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/"
	_, err = conn.ExecContext(ctx, "UPDATE orders SET price = 1 WHERE id = 1 "+trace)
	log("UPDATE orders", -1, err)
	_, err = conn.ExecContext(ctx, "UPDATE orders SET price = 2 WHERE id = 2; DELETE FROM orders WHERE id = 20")
	log("UPDATE orders DELETE orders", -1, err)
	_, err = conn.ExecContext(ctx, "SELECT nothing FROM nowhere")
	log("SELECT nowhere", -1, err)

	transaction, err := conn.BeginTx(ctx, nil)
	check(err)
	log("START TRANSACTION", -1, nil)
	query(transaction, "SELECT orders", "SELECT item FROM orders WHERE price = ? FOR UPDATE", 3)
	check(transaction.Rollback())
	log("ROLLBACK", -1, nil)
	check(conn.Close())

	// Nothing is told of a connection that is compressed.
	packed, conn := open("compress=true")
	defer packed.Close()
	rows, err := count(conn.QueryContext(ctx, "SELECT item FROM orders WHERE id < ?", 7))
	check(err)
	if rows == 0 {
		panic("nothing found")
	}
	check(conn.Close())
}
