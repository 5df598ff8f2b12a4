// lib/pq with its default settings, under database/sql: unnamed statements in two round trips, own pool.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lib/pq"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(actual, expected any, what string) {
	if fmt.Sprint(actual) != fmt.Sprint(expected) {
		panic(fmt.Sprintf("%s: %v, expected %v", what, actual, expected))
	}
	fmt.Println("  ", what)
}

func dsn() string {
	env := os.Getenv
	return fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=%s sslmode=%s", env("DB_HOST"), env("DB_PORT"),
		env("DB_USER"), env("DB_PASSWORD"), env("DB_NAME"), env("DB_SSLMODE"))
}

func query[T any](db interface {
	QueryRow(string, ...any) *sql.Row
}, text string, args ...any) (value T) {
	must(db.QueryRow(text, args...).Scan(&value))
	return value
}

func code(err error) string {
	var refused *pq.Error
	if !errors.As(err, &refused) {
		panic(err)
	}
	return string(refused.Code)
}

func main() {
	db, err := sql.Open("postgres", dsn())
	must(err)
	equal(query[int](db, "SELECT $1::int", 42), 42, "int")
	equal(query[string](db, "SELECT $1::text", "naïve ☃"), "naïve ☃", "text")
	equal(query[[]byte](db, "SELECT $1::bytea", []byte{0, 255}), []byte{0, 255}, "bytea")
	equal(query[pq.Int64Array](db, "SELECT $1::int[]", pq.Array([]int{1, 2, 3})), "[1 2 3]", "array")
	equal(query[sql.NullString](db, "SELECT $1::text", nil).Valid, false, "null")
	moment := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	equal(query[time.Time](db, "SELECT $1::timestamptz", moment).UTC(), moment, "timestamptz")
	equal(query[int](db, "SELECT 7"), 7, "simple protocol")

	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("INSERT INTO items (name) VALUES ('rolled back')")
	must(err)
	must(tx.Rollback())
	tx, err = db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	must(err)
	equal(query[string](tx, "SHOW transaction_isolation"), "serializable", "isolation")
	_, err = tx.Exec("INSERT INTO items (name, amount) VALUES ($1, $2)", "kept", 2)
	must(err)
	must(tx.Commit())
	equal(query[string](db, "SELECT array_agg(name)::text FROM items"), "{kept}", "commit and rollback")
	_, err = db.Exec("INSERT INTO items (name) VALUES ($1)", "kept")
	equal(code(err), "23505", "error")

	statement, err := db.Prepare("SELECT name FROM items WHERE name = $1")
	must(err)
	var group sync.WaitGroup
	failed := make(chan error, 400)
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for step := 0; step < 20; step++ {
				var name string
				if err := statement.QueryRow("kept").Scan(&name); err != nil || name != "kept" {
					failed <- fmt.Errorf("%q: %w", name, err)
				}
			}
		}()
	}
	group.Wait()
	must(statement.Close())
	equal(len(failed), 0, "prepared statement on several connections at once")

	tx, err = db.Begin()
	must(err)
	copied, err := tx.Prepare(pq.CopyIn("items", "name", "amount"))
	must(err)
	for i := 0; i < 1000; i++ {
		_, err = copied.Exec(fmt.Sprint("copied ", i), i)
		must(err)
	}
	_, err = copied.Exec()
	must(err)
	must(copied.Close())
	must(tx.Commit())
	equal(query[int](db, "SELECT count(*) FROM items"), 1001, "COPY in")

	tx, err = db.Begin()
	must(err)
	_, err = tx.Exec("SELECT 1/0")
	equal(code(err), "22012", "error in a transaction")
	_, err = tx.Exec("SELECT 1")
	equal(code(err), "25P02", "what comes after it")
	must(tx.Rollback())

	for i := 0; i < 3; i++ {
		limited, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
		_, err = db.ExecContext(limited, "SELECT pg_sleep(30)")
		stop()
		if err == nil {
			panic("it was not cancelled")
		}
		equal(query[int](db, "SELECT 1"), 1, "after a cancel")
	}

	listener := pq.NewListener(dsn(), time.Second, time.Second, nil)
	must(listener.Listen("news"))
	must(db.Close()) // a pool of one: the listener has the connection
	must(listener.Ping())
	must(listener.Close())
}
