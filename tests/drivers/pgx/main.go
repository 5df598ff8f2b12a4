// pgx with its default settings: extended protocol, binary, a cache of named prepared statements, own pool.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(actual, expected any, what string) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("%s: %#v, expected %#v", what, actual, expected))
	}
	fmt.Println("  ", what)
}

func connect() *pgx.Conn {
	env := os.Getenv
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=%s sslmode=%s",
		env("DB_HOST"), env("DB_PORT"), env("DB_USER"), env("DB_PASSWORD"), env("DB_NAME"), env("DB_SSLMODE")))
	must(err)
	return conn
}

func query[T any](conn *pgx.Conn, sql string, args ...any) (value T) {
	must(conn.QueryRow(ctx, sql, args...).Scan(&value))
	return value
}

func main() {
	conn := connect()
	equal(query[int](conn, "SELECT $1::int", 42), 42, "int")
	equal(query[string](conn, "SELECT $1::text", "naïve ☃"), "naïve ☃", "text")
	equal(query[[]byte](conn, "SELECT $1::bytea", []byte{0, 255}), []byte{0, 255}, "bytea")
	equal(query[[]int32](conn, "SELECT $1::int[]", []int32{1, 2, 3}), []int32{1, 2, 3}, "array")
	equal(query[*string](conn, "SELECT $1::text", nil), (*string)(nil), "null")
	moment := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	equal(query[time.Time](conn, "SELECT $1::timestamptz", moment).UTC(), moment, "timestamptz")
	equal(query[map[string]int](conn, `SELECT $1::jsonb`, map[string]int{"a": 1}), map[string]int{"a": 1}, "jsonb")

	tx, err := conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "INSERT INTO items (name) VALUES ('rolled back')")
	must(err)
	must(tx.Rollback(ctx))
	must(pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO items (name, amount) VALUES ($1, $2)", "kept", 2)
		return err
	}))
	equal(query[[]string](conn, "SELECT array_agg(name) FROM items"), []string{"kept"}, "commit and rollback")

	var refused *pgconn.PgError
	_, err = conn.Exec(ctx, "INSERT INTO items (name) VALUES ($1)", "kept")
	if !errors.As(err, &refused) {
		panic(err)
	}
	equal(refused.Code+" "+refused.ConstraintName, "23505 items_name_key", "error with its details")

	var conns []*pgx.Conn
	for i := 0; i < 4; i++ {
		conns = append(conns, connect())
	}
	for step := 0; step < 10; step++ {
		for number, other := range conns {
			if query[int](other, "SELECT $1::int + $2::int", step, number) != step+number {
				panic("wrong sum")
			}
			query[string](other, "SELECT name FROM items WHERE name = $1", "kept")
		}
	}
	equal(len(conns), 4, "prepared statements of interleaved connections")

	batch := &pgx.Batch{}
	for i := 0; i < 100; i++ {
		batch.Queue("SELECT $1::int", i)
	}
	results := conns[0].SendBatch(ctx, batch)
	for i := 0; i < 100; i++ {
		var value int
		must(results.QueryRow().Scan(&value))
		if value != i {
			panic("wrong value in a batch")
		}
	}
	must(results.Close())
	fmt.Println("   batch")

	rows := make([][]any, 1000)
	for i := range rows {
		rows[i] = []any{fmt.Sprint("copied ", i), nil}
	}
	copied, err := conns[1].CopyFrom(ctx, pgx.Identifier{"items"}, []string{"name", "amount"}, pgx.CopyFromRows(rows))
	must(err)
	equal(copied, int64(1000), "COPY in")
	var out strings.Builder
	_, err = conns[1].PgConn().CopyTo(ctx, &out, "COPY (SELECT count(*) FROM items) TO STDOUT")
	must(err)
	equal(out.String(), "1001\n", "COPY out")

	sleeping := make(chan error)
	go func() {
		_, err := conns[2].Exec(ctx, "SELECT pg_sleep(30)")
		sleeping <- err
	}()
	for err = nil; err == nil; {
		must(conns[2].PgConn().CancelRequest(ctx))
		select {
		case err = <-sleeping:
		case <-time.After(200 * time.Millisecond):
		}
	}
	if !errors.As(err, &refused) {
		panic(err)
	}
	equal(refused.Code, "57014", "cancel")
	equal(query[int](conns[2], "SELECT 1"), 1, "after the cancel")

	// The four of them at once, in transactions.
	var group sync.WaitGroup
	for number, other := range conns {
		group.Add(1)
		go func(number int, other *pgx.Conn) {
			defer group.Done()
			for i := 0; i < 20; i++ {
				must(pgx.BeginFunc(ctx, other, func(tx pgx.Tx) error {
					var value int
					must(tx.QueryRow(ctx, "SELECT $1::int", number).Scan(&value))
					if value != number {
						panic("another connection's answer")
					}
					return nil
				}))
			}
		}(number, other)
	}
	group.Wait()
	fmt.Println("   transactions at the same time")
	for _, other := range append(conns, conn) {
		must(other.Close(ctx))
	}
}
