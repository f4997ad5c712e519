// keytool -importcert -noprompt -alias jeton -file /etc/jeton/ca.pem -keystore ca.p12 -storepass changeit
// java -Djavax.net.ssl.trustStore=ca.p12 -Djavax.net.ssl.trustStorePassword=changeit Token.java
import java.net.URI;
import java.net.http.*;
import java.util.Base64;

class Token {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static String post(String path, String form) throws Exception {
        var basic = Base64.getEncoder().encodeToString("orders:jts_ORDERS".getBytes());
        var request = HttpRequest.newBuilder(URI.create("https://tokens.example.com:8080/oauth2/" + path))
            .header("Authorization", "Basic " + basic)
            .header("Content-Type", "application/x-www-form-urlencoded; charset=ISO-8859-1")
            .POST(HttpRequest.BodyPublishers.ofString(form)).build();
        return CLIENT.send(request, HttpResponse.BodyHandlers.ofString()).body();
    }

    public static void main(String[] arguments) throws Exception {
        var token = post("token", "grant_type=client_credentials&scope=orders.read")
            .replaceAll(".*\"access_token\":\"([^\"]*)\".*", "$1");
        System.out.println(post("introspect", "token=" + token));
        System.out.println(post("revoke", "token=" + token));
        System.out.println(post("introspect", "token=" + token));
    }
}
