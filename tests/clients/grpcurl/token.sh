basic=$(printf 'orders:jts_ORDERS' | base64 -w 0)
jeton() {
    grpcurl -cacert /etc/jeton/ca.pem -H "authorization: Basic $basic" -d "$2" \
        tokens.example.com:50051 "jeton.v1.TokenService/$1"
}

token=$(jeton IssueToken '{"client_credentials": {}}' | sed -n 's/.*"accessToken": "\(.*\)",/\1/p')
jeton IntrospectToken "{\"token\": \"$token\"}"
jeton RevokeToken "{\"token\": \"$token\"}"
jeton IntrospectToken "{\"token\": \"$token\"}"
