from authlib.integrations.requests_client import OAuth2Session

URL = "https://tokens.example.com:8080/oauth2"
session = OAuth2Session("orders", "jts_ORDERS", scope="orders.read")
session.verify = "/etc/jeton/ca.pem"

token = session.fetch_token(f"{URL}/token", grant_type="client_credentials")["access_token"]
print(session.introspect_token(f"{URL}/introspect", token=token).text)
print(session.revoke_token(f"{URL}/revoke", token=token).text)
print(session.introspect_token(f"{URL}/introspect", token=token).text)
