//! The nodes that the clients call, and the folder that they run in.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tempfile::TempDir;

use crate::support::{
    Database, Kind,
    binary::{Served, free_port, run_json},
};

/// A node with TLS and one without, on one database, with the clients `orders` and `stock`.
pub(super) struct House {
    pub(super) secured: Served,
    pub(super) plain: Served,
    pub(super) orders: String,
    stock: String,
    /// File of the certificate to trust.
    pub(super) ca: String,
    /// Where the gateway of a trial listens, and the service behind it.
    pub(super) gateway: SocketAddr,
    pub(super) service: SocketAddr,
    /// Below the libraries that were installed, because Node looks for them above a program.
    folder: TempDir,
    path: String,
    _database: Database,
}

/// Whether the client is to be tried.
pub(super) fn is_wanted(client: &str) -> bool {
    env::var("JETON_CLIENTS").map_or(true, |wanted| {
        wanted.is_empty()
            || wanted.split_whitespace().any(|name| client.to_lowercase().starts_with(name))
    })
}

impl House {
    pub(super) async fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = root.join("target/clients");
        fs::create_dir_all(&installed).unwrap();
        let database = Database::ready(Kind::Sqlite).await;
        let create = |arguments: &[&str]| {
            let created = run_json(&[&["client", "create"], arguments].concat(), &database);
            created["client_secret"].as_str().unwrap().to_owned()
        };
        let audience = "https://stock.example.com";
        let orders = ["--client-id", "orders", "--scope", "orders.read", "--audience", audience];
        let path = env::var("PATH").unwrap();
        Self {
            orders: create(&orders),
            stock: create(&["--client-id", "stock", "--serves", audience, "--no-grant"]),
            secured: Served::start(&database, &["--tls-self-signed"]),
            plain: Served::start(&database, &[]),
            ca: database.dir.path().join("tls/cert.pem").to_str().unwrap().to_owned(),
            gateway: free_port(),
            service: free_port(),
            folder: tempfile::tempdir_in(&installed).unwrap(),
            // Gateways are installed where only administrators look for programs.
            path: format!("{}:{path}:/usr/sbin", installed.join("venv/bin").display()),
            _database: database,
        }
    }

    /// Whether a program is installed.
    pub(super) fn has(&self, program: &str) -> bool {
        let mut folders = self.path.split(':').map(PathBuf::from);
        folders.any(|folder| folder.join(program).is_file())
    }

    /// Copies a file of `tests/clients` with our addresses, files and secrets in place of those that
    /// it names. Returns the name of the copy.
    pub(super) fn prepare(&self, file: &str) -> String {
        self.prepare_with(file, &[])
    }

    /// The same, with more texts to replace before all others.
    pub(super) fn prepare_with(&self, file: &str, more: &[(&str, &str)]) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let mut text = fs::read_to_string(root.join(file)).unwrap();
        let (secured, service) = (&self.secured, self.service.port());
        let ours = [
            ("tokens.example.com:8080", format!("localhost:{}", secured.http.port())),
            ("tokens.example.com:50051", format!("localhost:{}", secured.grpc.port())),
            ("tokens.example.com:9090", secured.probes().to_string()),
            ("port_value: 8080", format!("port_value: {}", secured.http.port())),
            ("port_value: 8000", format!("port_value: {}", self.gateway.port())),
            ("port_value: 8001", format!("port_value: {service}")),
            ("127.0.0.1:8000", self.gateway.to_string()),
            ("127.0.0.1:8001", self.service.to_string()),
            ("tokens.example.com", "localhost".to_owned()),
            ("/etc/jeton/ca.pem", self.ca.clone()),
            ("c3RvY2s6anRzX1NUT0NL", STANDARD.encode(format!("stock:{}", self.stock))),
            ("jts_ORDERS", self.orders.clone()),
            ("jts_STOCK", self.stock.clone()),
            ("15s", "1s".to_owned()),
        ];
        let more = more.iter().map(|(theirs, ours)| (*theirs, (*ours).to_owned()));
        for (theirs, ours) in more.chain(ours) {
            text = text.replace(theirs, &ours);
        }
        let name = file.rsplit('/').next().unwrap();
        fs::write(self.folder.path().join(name), text).unwrap();
        name.to_owned()
    }

    /// A command in the folder of the trials, which ends after a minute.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "60"])
            .args(words)
            .current_dir(self.folder.path())
            .env("PATH", &self.path)
            .env("NODE_EXTRA_CA_CERTS", &self.ca)
            .env("SSL_CERT_FILE", &self.ca)
            // The library requests prefers these to what a program says.
            .env_remove("REQUESTS_CA_BUNDLE")
            .env_remove("CURL_CA_BUNDLE")
            // The libraries of Go come from Debian, whose packages have no modules.
            .env("GO111MODULE", "off")
            .env("GOPATH", "/usr/share/gocode")
            .env("GOCACHE", self.folder.path().join("go"))
            .stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// The folder of the trials.
    pub(super) fn folder(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }
}
