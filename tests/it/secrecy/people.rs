//! People who work with a node, over both of its faces, and make mistakes with what they hold.

use std::{fmt::Write, net::SocketAddr};

use ::http::{Method, Request, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use jeton::pb::v1::{
    ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
    issue_token_request::Grant, token_service_client::TokenServiceClient,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Status, transport::Channel};

use super::search::latin1;
use crate::support::{
    Database,
    http::{FORM, basic, post_form, send},
};

/// People at a node, who write down every answer but those that carry a token by right.
pub(super) struct People {
    http: SocketAddr,
    grpc: TokenServiceClient<Channel>,
    secrets: [String; 2],
    tokens: Vec<String>,
    pub(super) answers: String,
}

impl People {
    pub(super) async fn at(grpc: SocketAddr, http: SocketAddr, secrets: [String; 2]) -> Self {
        let grpc = TokenServiceClient::connect(format!("http://{grpc}")).await.unwrap();
        Self { http, grpc, secrets, tokens: Vec::new(), answers: String::new() }
    }

    async fn post(&mut self, path: &str, authorization: &str, form: &str) {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, FORM)
            .header(header::AUTHORIZATION, authorization)
            .body(form.as_bytes().to_vec());
        self.send(request.unwrap()).await;
    }

    async fn send(&mut self, request: Request<Vec<u8>>) {
        let answer = send(self.http, request).await;
        write!(self.answers, "{} {:?} ", answer.status, answer.headers).unwrap();
        self.answers.push_str(&latin1(&answer.body));
    }

    fn refused(&mut self, status: &Status) {
        write!(self.answers, "{status:?} ").unwrap();
        self.answers.push_str(&latin1(status.details()));
    }

    /// Everything as it should be, on both faces.
    pub(super) async fn work(&mut self) {
        let [secret, _] = self.secrets.clone();
        let form = "grant_type=client_credentials";
        let issued = post_form(self.http, "/oauth2/token", "orders", &secret, form).await;
        let over_http = issued.json()["access_token"].as_str().unwrap().to_owned();
        let form = format!("{form}&client_id=orders&client_secret={secret}");
        let request = Request::post("/oauth2/token").header(header::CONTENT_TYPE, FORM);
        let issued = send(self.http, request.body(form.into_bytes()).unwrap()).await;
        assert_eq!(issued.status, 200);
        self.tokens.push(issued.json()["access_token"].as_str().unwrap().to_owned());

        let issued = self.grpc.issue_token(issue(&secret)).await.unwrap().into_inner();
        let over_grpc = issued.access_token;
        for token in [over_http, over_grpc] {
            for path in ["/oauth2/introspect", "/oauth2/revoke", "/oauth2/introspect"] {
                let form = format!("token={token}");
                self.post(path, &basic("orders", &secret), &form).await;
            }
            let seen = self.grpc.introspect_token(introspect(&token, &secret)).await.unwrap();
            assert!(!seen.into_inner().active);
            self.tokens.push(token);
        }
    }

    /// What goes wrong where people type, over HTTP.
    pub(super) async fn make_mistakes(&mut self) {
        let [own, other] = self.secrets.clone();
        let token = self.tokens[0].clone();
        let good = basic("orders", &own);
        let grant = "grant_type=client_credentials";
        let wrong = format!("{}A", &own[..own.len() - 1]);
        let rows = [
            (basic("orders", &other), grant.to_owned()),
            (basic("orders", &wrong), grant.to_owned()),
            (basic("nobody", &own), grant.to_owned()),
            (basic(&own, "orders"), grant.to_owned()),
            (format!("Basic orders:{own}"), grant.to_owned()),
            (format!("Basic {own}"), grant.to_owned()),
            (format!("{good}%%"), grant.to_owned()),
            (format!("Basic {}", STANDARD.encode(format!("orders:{own}%zz"))), grant.to_owned()),
            (format!("Bearer {token}"), grant.to_owned()),
            (own.clone(), grant.to_owned()),
            (good.clone(), format!("{grant}&client_id=orders&client_secret={own}")),
            (good.clone(), format!("{grant}&client_id={own}")),
            (good.clone(), format!("{grant}&scope={own}")),
            (good.clone(), format!("{grant}&scope={own}%22")),
            (good.clone(), format!("{grant}&resource={token}")),
            (good.clone(), format!("grant_type={own}")),
            (good.clone(), format!("{own}={own}&{grant}&{token}")),
            (good.clone(), format!("{grant}&client_secret={own}&client_secret={own}")),
            (good.clone(), format!("{grant}&client_secret={own}%zz")),
            (good.clone(), format!("{grant}&client_secret={own}%00")),
            (good.clone(), own.repeat(400)),
        ];
        for (authorization, form) in rows {
            self.post("/oauth2/token", &authorization, &form).await;
        }
        let cut = &token[..token.len() - 1];
        for form in [format!("token={cut}"), format!("token={own}"), format!("{token}={cut}")] {
            for path in ["/oauth2/introspect", "/oauth2/revoke"] {
                self.post(path, &basic("stock", &other), &form).await;
            }
        }
        self.post("/oauth2/revoke", &basic("stock", &other), &format!("token={token}")).await;
        self.put_into_the_url(&own, &token).await;
    }

    /// What stands in a URL ends in the logs of every proxy; it shall not end in ours.
    async fn put_into_the_url(&mut self, secret: &str, token: &str) {
        let pair = format!("client_id=orders&client_secret={secret}");
        let targets = [
            format!("/oauth2/token?grant_type=client_credentials&{pair}"),
            format!("/oauth2/introspect?token={token}"),
            format!("/oauth2/{secret}"),
            format!("/{token}?{secret}"),
        ];
        for target in targets {
            for method in [Method::GET, Method::POST] {
                let request = Request::builder().method(method).uri(&target);
                self.send(request.body(Vec::new()).unwrap()).await;
            }
        }
        let json = format!(r#"{{"client_secret":"{secret}"}}"#).into_bytes();
        let request = Request::post("/oauth2/token").header(header::CONTENT_TYPE, "text/json");
        self.send(request.body(json).unwrap()).await;
        for request in [
            format!("{secret} /oauth2/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
            format!("POST /oauth2/token {secret}\r\n\r\n"),
            format!("POST / HTTP/1.1\r\nauthorization: Basic {secret}\r\n {token}\r\n\r\n"),
        ] {
            let mut stream = TcpStream::connect(self.http).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // It may as well be cut off.
            let _ = stream.read_to_end(&mut answer).await;
            self.answers.push_str(&latin1(&answer));
        }
    }

    /// The same over gRPC.
    pub(super) async fn make_mistakes_in_messages(&mut self) {
        let [own, other] = self.secrets.clone();
        let token = self.tokens[0].clone();
        let other_grant = Some(Grant::OtherGrantType(own.clone()));
        let messages = [
            issue(&other),
            issue(&own[..own.len() - 1]),
            issue(""),
            IssueTokenRequest { scopes: vec![own.clone()], ..issue(&own) },
            IssueTokenRequest { resources: vec![format!("{token}#")], ..issue(&own) },
            IssueTokenRequest { grant: other_grant, ..issue(&own) },
            IssueTokenRequest { grant: None, ..issue(&own) },
        ];
        for message in messages {
            let status = self.grpc.issue_token(message).await.unwrap_err();
            self.refused(&status);
        }
        for header in [basic("orders", &own), format!("Basic {own}"), format!("Bearer {token}")] {
            let mut request = tonic::Request::new(issue(&own));
            request.metadata_mut().insert("authorization", header.parse().unwrap());
            let status = self.grpc.issue_token(request).await.unwrap_err();
            self.refused(&status);
        }
        let status = self.grpc.introspect_token(introspect(&own, &token)).await.unwrap_err();
        self.refused(&status);
    }

    /// A fault of the database, whose cause is logged and not told.
    pub(super) async fn meet_a_fault(&mut self, database: &Database) {
        let secret = self.secrets[0].clone();
        database.execute("alter table access_token rename to elsewhere").await;
        let form = "grant_type=client_credentials";
        self.post("/oauth2/token", &basic("orders", &secret), form).await;
        let status = self.grpc.issue_token(issue(&secret)).await.unwrap_err();
        let faults = [tonic::Code::Internal, tonic::Code::Unavailable];
        assert!(faults.contains(&status.code()), "{status}");
        self.refused(&status);
        database.execute("alter table elsewhere rename to access_token").await;
    }

    pub(super) fn known(&self) -> Vec<String> {
        [&self.tokens[..], &self.secrets].concat()
    }
}

pub(super) fn authentication(client_secret: &str) -> ClientAuthentication {
    let (client_id, client_secret) = ("orders".to_owned(), client_secret.to_owned());
    ClientAuthentication { client_id, client_secret }
}

pub(super) fn issue(secret: &str) -> IssueTokenRequest {
    IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client_authentication: Some(authentication(secret)),
        ..IssueTokenRequest::default()
    }
}

pub(super) fn introspect(token: &str, secret: &str) -> IntrospectTokenRequest {
    IntrospectTokenRequest {
        token: token.to_owned(),
        token_type_hint: String::new(),
        client_authentication: Some(authentication(secret)),
    }
}
