// Run with SSL_CERT_FILE=/etc/jeton/ca.pem
package main

import (
	"context"
	"fmt"

	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	config := clientcredentials.Config{
		ClientID: "orders", ClientSecret: "jts_ORDERS", Scopes: []string{"orders.read"},
		TokenURL: "https://tokens.example.com:8080/oauth2/token",
	}
	token, err := config.Token(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Println(token.Type(), token.AccessToken)
	// config.Client(ctx) is an http.Client that sends a token and asks for another in time.
}
