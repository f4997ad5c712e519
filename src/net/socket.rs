//! Sockets that a listener accepts connections from: TCP, or a Unix socket for this machine.

use std::{
    fs::{self, Permissions},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::data_dir::{self, Lock, Worker};

/// Maximum connections that wait to be accepted; the system may allow fewer (`somaxconn`). When a
/// burst overflows it, newcomers try again only after a second.
const BACKLOG: u32 = 4_096;

/// Address of the peers of a Unix socket, which are all on this machine.
pub(super) const THIS_MACHINE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A bound socket.
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// A connection that was accepted. It can move to another runtime.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Socket {
    /// Binds an address, as `TcpListener::bind` does, but with a longer backlog. Returns the
    /// actual address as well: port 0 binds any free port.
    pub(super) fn tcp(address: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok((Self::Tcp(socket), address))
    }

    /// Binds a Unix socket to which its owner and root can connect. The directory must be one in
    /// which nobody else can replace it.
    pub(super) fn unix(path: &Path) -> io::Result<Self> {
        data_dir::check(data_dir::parent(path), Worker::Service)?;
        let file = SocketFile::claim(path)?;
        let listener = UnixListener::bind(path)?;
        // Until here the umask decides. The user of a peer is asked of the kernel in any case.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self::Unix { listener, _file: file })
    }

    /// Accepts a connection.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted::Tcp(stream.into_std()?, address))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::Unix(stream.into_std()?))
            }
        }
    }
}

impl Accepted {
    /// Address of the peer.
    pub(super) const fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(_, address) => *address,
            Self::Unix(_) => THIS_MACHINE,
        }
    }
}

/// The name of a Unix socket in its directory. It is removed on drop.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Held as long as the socket is served. A node that was killed leaves the name behind, and the
    /// lock tells that nobody serves it.
    _lock: Lock,
}

impl SocketFile {
    /// Takes the name, if no other process serves it, and removes a socket that was left behind.
    fn claim(path: &Path) -> io::Result<Self> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let Some(lock) = Lock::try_exclusive(Path::new(&lock))? else {
            let text = format!("another node serves {}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        };
        match fs::symlink_metadata(path) {
            // A path that was mistyped may be that of a key or of a database.
            Ok(found) if !found.file_type().is_socket() => {
                let text = format!(
                    "{} is there and is no socket: choose a path at which nothing is",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            Ok(_) => fs::remove_file(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The next node removes what cannot be removed now.
        let _ = fs::remove_file(&self.path);
    }
}
