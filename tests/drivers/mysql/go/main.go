// go-sql-driver/mysql with its default settings (every query with arguments is prepared), and with interpolateParams.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
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

func open(options string) *sql.DB {
	env := os.Getenv
	tls := map[string]string{"0": "false", "1": "skip-verify"}[env("DB_TLS")]
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?parseTime=true&maxAllowedPacket=0&tls=%s%s",
		env("DB_USER"), env("DB_PASSWORD"), env("DB_HOST"), env("DB_PORT"), env("DB_NAME"), tls, options))
	must(err)
	return db
}

type asker interface {
	QueryRow(string, ...any) *sql.Row
}

func query[T any](db asker, text string, args ...any) (value T) {
	must(db.QueryRow(text, args...).Scan(&value))
	return value
}

func code(err error) uint16 {
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) {
		panic(fmt.Sprint("no error of the server: ", err))
	}
	return refused.Number
}

func types(db *sql.DB) {
	moment := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for run := 0; run < 3; run++ {
		_, err := db.Exec("INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?, ?)", run, "naïve ☃", "12.34", []byte{0, 255}, nil,
			moment, 1.5)
		must(err)
		var (
			i       int
			s, d    string
			b       []byte
			n       sql.NullString
			t       time.Time
			f       float64
			another string
		)
		must(db.QueryRow("SELECT *, ? FROM kinds WHERE i = ?", "added", run).Scan(&i, &s, &d, &b, &n, &t, &f, &another))
		found := fmt.Sprint(i, s, d, b, n.Valid, t, f, another)
		if found != fmt.Sprint(run, "naïve ☃", "12.34", []byte{0, 255}, false, moment, 1.5, "added") {
			panic(found)
		}
	}
	_, err := db.Exec("DELETE FROM kinds")
	must(err)
	fmt.Println("   types")
}

func transactions(db *sql.DB) {
	_, err := db.Exec("DELETE FROM items")
	must(err)
	tx, err := db.Begin()
	must(err)
	_, err = tx.Exec("INSERT INTO items (name) VALUES ('rolled back')")
	must(err)
	must(tx.Rollback())
	tx, err = db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	must(err)
	result, err := tx.Exec("INSERT INTO items (name, amount) VALUES (?, ?)", "kept", 2)
	must(err)
	number, err := result.LastInsertId()
	must(err)
	must(tx.Commit())
	equal(query[int64](db, "SELECT id FROM items WHERE name = ?", "kept"), number, "commit, rollback, the last insert's number")
	_, err = db.Exec("INSERT INTO items (name) VALUES (?)", "kept")
	equal(code(err), 1062, "error")
	tx, err = db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	must(err)
	_, err = tx.Exec("INSERT INTO items (name) VALUES ('not written')")
	equal(code(err), 1792, "a transaction that only reads")
	must(tx.Rollback())
}

func prepared(db *sql.DB) {
	statement, err := db.Prepare("SELECT name, ? + 1 FROM items WHERE name = ?")
	must(err)
	var group sync.WaitGroup
	failed := make(chan error, 400)
	for i := 0; i < 8; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for step := 0; step < 20; step++ {
				var name string
				var next int
				err := statement.QueryRow(step, "kept").Scan(&name, &next)
				if err != nil || name != "kept" || next != step+1 {
					failed <- fmt.Errorf("%q %d: %w", name, next, err)
				}
			}
		}()
	}
	group.Wait()
	must(statement.Close())
	equal(len(failed), 0, "prepared statement on several connections at once")
}

func state(db *sql.DB) {
	ctx := context.Background()
	one, err := db.Conn(ctx)
	must(err)
	two, err := db.Conn(ctx)
	must(err)
	_, err = one.ExecContext(ctx, "SET time_zone = '+05:00', SESSION sql_mode = 'ANSI_QUOTES'")
	must(err)
	_, err = one.ExecContext(ctx, "USE billing")
	must(err)
	const question = "SELECT CONCAT(@@time_zone, DATABASE(), @@sql_mode LIKE '%ANSI_QUOTES%', ?)"
	for step := 0; step < 3; step++ {
		var mine, other string
		must(one.QueryRowContext(ctx, question, step).Scan(&mine))
		must(two.QueryRowContext(ctx, question, step).Scan(&other))
		equal([]string{mine, other}, []string{fmt.Sprint("+05:00billing1", step), fmt.Sprint("+00:00orders0", step)},
			"session state")
	}
	must(one.Close())
	must(two.Close())
}

func several(options string) {
	db := open(options + "&multiStatements=true&time_zone=%27%2B02%3A00%27")
	rows, err := db.Query("SELECT 1; SELECT 2; SELECT 3")
	must(err)
	sum := 0
	for {
		for rows.Next() {
			var n int
			must(rows.Scan(&n))
			sum += n
		}
		if !rows.NextResultSet() {
			break
		}
	}
	must(rows.Err())
	equal(sum, 6, "several statements")
	equal(query[string](db, "SELECT @@time_zone"), "+02:00", "a setting of the DSN")
	must(db.Close())
}

// It may leave anything behind: the client is pinned, and its server connection is closed with it.
func procedure(options string) {
	db := open(options)
	db.SetMaxOpenConns(1)
	rows, err := db.Query("CALL two_results(4, @doubled)")
	must(err)
	var seen []string
	for {
		for rows.Next() {
			columns, err := rows.Columns()
			must(err)
			into := make([]string, len(columns))
			pointers := make([]any, len(columns))
			for i := range into {
				pointers[i] = &into[i]
			}
			must(rows.Scan(pointers...))
			seen = append(seen, into...)
		}
		if !rows.NextResultSet() {
			break
		}
	}
	must(rows.Close())
	equal(seen, "[4 5 two]", "a procedure's results")
	equal(query[int](db, "SELECT @doubled"), 8, "a procedure's parameter")
	must(db.Close())
}

func load(db *sql.DB) {
	tx, err := db.Begin()
	must(err)
	mysql.RegisterLocalFile(os.Getenv("DB_FILE"))
	result, err := tx.Exec("LOAD DATA LOCAL INFILE '" + os.Getenv("DB_FILE") +
		"' INTO TABLE items FIELDS TERMINATED BY ',' (name, amount)")
	must(err)
	count, err := result.RowsAffected()
	must(err)
	equal(count, 5000, "LOAD DATA LOCAL")
	must(tx.Rollback())
}

func big(db *sql.DB) {
	data := make([]byte, 17_000_000)
	rand.New(rand.NewSource(7)).Read(data)
	_, err := db.Exec("REPLACE INTO big VALUES (?, ?)", 1, data)
	must(err)
	equal(bytes.Equal(query[[]byte](db, "SELECT data FROM big WHERE n = ?", 1), data), true, "packets over 16 MB")
	_, err = db.Exec("REPLACE INTO big VALUES (1, REPEAT('y', ?))", 1<<24)
	must(err)
	equal(query[string](db, "SELECT data FROM big WHERE n = ?", 1) == strings.Repeat("y", 1<<24), true, "and just one more byte")
	_, err = db.Exec("DELETE FROM big")
	must(err)
}

func cancel(db *sql.DB) {
	for i := 0; i < 2; i++ {
		limited, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
		_, err := db.ExecContext(limited, "SELECT SLEEP(60)")
		stop()
		if err == nil {
			panic("it was not cancelled")
		}
		equal(query[int](db, "SELECT 1"), 1, "after a cancel")
	}
}

func check(options string) {
	fmt.Println("   --", options)
	db := open(options)
	db.SetMaxOpenConns(8)
	types(db)
	transactions(db)
	prepared(db)
	state(db)
	several(options)
	load(db)
	if os.Getenv("DB_TLS") == "0" {
		big(db)
	}
	cancel(db)
	must(db.Close())
	procedure(options)
}

func main() {
	check("")
	check("&interpolateParams=true")
	fmt.Println("pins opaque")
}
