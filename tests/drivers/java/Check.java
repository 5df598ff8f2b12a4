// pgjdbc with its default settings: extended protocol, server-side prepared statements from the fifth execution on.
import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import org.postgresql.PGConnection;

public class Check {
  static Connection connect() throws SQLException {
    var env = System.getenv();
    return DriverManager.getConnection("jdbc:postgresql://" + env.get("DB_HOST") + ":" + env.get("DB_PORT") + "/"
        + env.get("DB_NAME") + "?sslmode=" + env.get("DB_SSLMODE"), env.get("DB_USER"), env.get("DB_PASSWORD"));
  }

  static void equal(Object actual, Object expected, String what) {
    if (!Objects.equals(actual, expected)) {
      throw new AssertionError(what + ": " + actual + ", expected " + expected);
    }
    System.out.println("   " + what);
  }

  static Object value(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      rows.next();
      return rows.getObject(1);
    }
  }

  static String refusal(Connection connection, String sql) {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
      return "none";
    } catch (SQLException error) {
      return error.getSQLState();
    }
  }

  public static void main(String[] arguments) throws Exception {
    Connection connection = connect();
    try (PreparedStatement statement = connection.prepareStatement(
             "SELECT ?::int, ?::text, ?::numeric, ?::bytea, ?::bool, ?::text, ?::uuid, ?::timestamptz, ?::int[]")) {
      for (int run = 0; run < 8; run++) {  // the later runs with a named statement and binary results
        statement.setInt(1, 42);
        statement.setString(2, "naïve ☃");
        statement.setBigDecimal(3, new BigDecimal("12.34"));
        statement.setBytes(4, new byte[] {0, -1});
        statement.setBoolean(5, true);
        statement.setString(6, null);
        statement.setObject(7, new UUID(0, 7));
        statement.setObject(8, OffsetDateTime.parse("2026-01-02T03:04:05Z"));
        statement.setArray(9, connection.createArrayOf("int4", new Integer[] {1, 2, 3}));
        ResultSet row = statement.executeQuery();
        row.next();
        if (row.getInt(1) != 42 || !row.getString(2).equals("naïve ☃")
            || !row.getBigDecimal(3).equals(new BigDecimal("12.34")) || row.getBytes(4)[1] != -1 || !row.getBoolean(5)
            || row.getString(6) != null || !row.getObject(7).equals(new UUID(0, 7))
            || !row.getObject(8, OffsetDateTime.class).isEqual(OffsetDateTime.parse("2026-01-02T03:04:05Z"))
            || !Arrays.equals((Integer[]) row.getArray(9).getArray(), new Integer[] {1, 2, 3})) {
          throw new AssertionError("types in run " + run);
        }
      }
    }
    System.out.println("   types");

    connection.setAutoCommit(false);
    refusal(connection, "INSERT INTO items (name) VALUES ('rolled back')");
    connection.rollback();
    refusal(connection, "INSERT INTO items (name) VALUES ('kept')");
    connection.commit();
    equal(value(connection, "SELECT string_agg(name, ',') FROM items"), "kept", "commit and rollback");
    connection.commit();
    equal(refusal(connection, "INSERT INTO items (name) VALUES ('kept')"), "23505", "error");
    equal(refusal(connection, "SELECT 1"), "25P02", "failed transaction");
    connection.rollback();

    List<Connection> connections = new ArrayList<>();
    for (int number = 0; number < 4; number++) connections.add(connect());
    List<PreparedStatement> sums = new ArrayList<>();
    for (Connection each : connections) sums.add(each.prepareStatement("SELECT ?::int + ?::int"));
    for (int step = 0; step < 12; step++) {
      for (int number = 0; number < 4; number++) {
        sums.get(number).setInt(1, step);
        sums.get(number).setInt(2, number);
        ResultSet row = sums.get(number).executeQuery();
        row.next();
        if (row.getInt(1) != step + number) throw new AssertionError("wrong sum");
      }
    }
    System.out.println("   prepared statements of interleaved connections");

    try (PreparedStatement batch = connections.get(0).prepareStatement("INSERT INTO items (name) VALUES (?)")) {
      for (int number = 0; number < 500; number++) {
        batch.setString(1, "many " + number);
        batch.addBatch();
      }
      equal(batch.executeBatch().length, 500, "batch");
    }
    var copy = connections.get(1).unwrap(PGConnection.class).getCopyAPI();
    StringBuilder lines = new StringBuilder();
    for (int number = 0; number < 1000; number++) lines.append("copied ").append(number).append('\n');
    equal(copy.copyIn("COPY items (name) FROM STDIN", new StringReader(lines.toString())), 1000L, "COPY in");
    StringWriter out = new StringWriter();
    copy.copyOut("COPY (SELECT count(*) FROM items) TO STDOUT", out);
    equal(out.toString(), "1501\n", "COPY out");

    connection.setAutoCommit(false);
    try (Statement cursor = connection.createStatement()) {
      cursor.setFetchSize(100);
      long total = 0;
      ResultSet rows = cursor.executeQuery("SELECT n FROM generate_series(1, 5000) n");
      while (rows.next()) total += rows.getInt(1);
      equal(total, 12502500L, "fetch size");
    }
    connection.commit();

    Statement sleeper = connections.get(2).createStatement();
    String[] state = new String[1];
    Thread thread = new Thread(() -> {
      try {
        sleeper.execute("SELECT pg_sleep(30)");
      } catch (SQLException error) {
        state[0] = error.getSQLState();
      }
    });
    thread.start();
    while (thread.isAlive()) {
      thread.join(200);
      sleeper.cancel();
    }
    equal(state[0], "57014", "cancel");
    equal(value(connections.get(2), "SELECT 1"), 1, "after the cancel");

    connections.get(3).setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    connections.get(3).setReadOnly(true);
    equal(value(connections.get(3), "SHOW transaction_isolation"), "serializable", "isolation");
    connections.get(3).close();
    equal(value(connections.get(0), "SHOW transaction_isolation"), "read committed", "isolation of another");
    for (Connection each : connections) each.close();
    connection.close();
  }
}
