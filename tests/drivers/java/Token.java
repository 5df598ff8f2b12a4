// Logs in with a token of AWS in the password's place, by whatever driver the URL names, and says as whom.
import java.sql.DriverManager;

public class Token {
  public static void main(String[] arguments) throws Exception {
    var env = System.getenv();
    try (var connection = DriverManager.getConnection(env.get("DB_URL"), env.get("DB_USER"), env.get("DB_PASSWORD"));
         var statement = connection.createStatement();
         var rows = statement.executeQuery("SELECT CURRENT_USER")) {
      rows.next();
      System.out.println(rows.getString(1));
    } catch (java.sql.SQLException error) {
      System.out.println(error.getMessage());
      System.exit(1);
    }
  }
}
