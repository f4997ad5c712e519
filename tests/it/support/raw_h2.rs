//! HTTP/2 by hand: frames as a hostile peer writes them, which no library would send.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types and flags of frames (RFC 9113, section 6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

// Codes of errors (section 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// Far longer than any deadline that a test sets: what takes so long does not end at all.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A frame as it stands on the wire.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The header of a POST, with literals only (RFC 7541, section 6.2.2).
pub(crate) fn post(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // From the static table: `:method: POST` and `:scheme: http`.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(":path", path), (":authority", "localhost")].iter().chain(fields) {
        block.push(0);
        for text in [name, value] {
            // The length is an integer with a prefix of seven bits.
            match text.len().checked_sub(127) {
                None => block.push(u8::try_from(text.len()).unwrap()),
                Some(mut rest) => {
                    block.push(127);
                    while rest >= 128 {
                        block.push(u8::try_from(rest % 128).unwrap() | 128);
                        rest /= 128;
                    }
                    block.push(u8::try_from(rest).unwrap());
                }
            }
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A gRPC call without its message.
pub(crate) fn call(path: &str) -> Vec<u8> {
    post(path, &[("content-type", "application/grpc"), ("te", "trailers")])
}

/// How a connection came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The code of the last GOAWAY, if one came.
    pub(crate) goaway: Option<u32>,
    /// The last stream that this GOAWAY says was taken.
    pub(crate) last_stream: u32,
    /// Headers that came, each the beginning of an answer or its trailers.
    pub(crate) headers: usize,
}

impl End {
    fn note(&mut self, (kind, _, payload): &Frame) {
        match *kind {
            GOAWAY => {
                self.last_stream = u32::from_be_bytes(payload[..4].try_into().unwrap());
                self.goaway = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
            HEADERS => self.headers += 1,
            _ => {}
        }
    }
}

/// Type, flags and payload.
type Frame = (u8, u8, Vec<u8>);

async fn read(stream: &mut OwnedReadHalf) -> io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await?;
    Ok((head[3], head[4], payload))
}

pub(crate) struct RawH2 {
    reader: OwnedReadHalf,
    pub(crate) writer: OwnedWriteHalf,
    end: End,
}

impl RawH2 {
    /// Connects and says what a client must say first, with these settings.
    pub(crate) async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let (reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        writer.write_all(PREFACE).await.unwrap();
        writer.write_all(&frame(SETTINGS, 0, 0, &payload)).await.unwrap();
        Self { reader, writer, end: End { goaway: None, last_stream: 0, headers: 0 } }
    }

    /// The connection as it is.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.reader.reunite(self.writer).unwrap()
    }

    /// Sends bytes. An error tells that the server has closed the connection.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(LONG, self.writer.write_all(bytes)).await.expect("the server reads no more")
    }

    /// Reads one frame and answers it as an honest client would. Returns its type and payload.
    pub(crate) async fn next(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let read = read(&mut self.reader).await?;
        self.end.note(&read);
        let (kind, flags, payload) = read;
        if flags & ACK == 0 && kind == SETTINGS {
            self.writer.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
        }
        if flags & ACK == 0 && kind == PING {
            self.writer.write_all(&frame(PING, ACK, 0, &payload)).await?;
        }
        Ok((kind, payload))
    }

    /// Reads frames until one of this type comes, and returns its payload.
    pub(crate) async fn until(&mut self, wanted: u8) -> Vec<u8> {
        let reading = async {
            loop {
                let (kind, payload) = self.next().await.unwrap();
                if kind == wanted {
                    return payload;
                }
            }
        };
        timeout(LONG, reading).await.expect("the frame does not come")
    }

    /// Reads on until the server has closed the connection.
    pub(crate) async fn end(mut self) -> End {
        let reading = async { while self.next().await.is_ok() {} };
        timeout(LONG, reading).await.expect("the connection stays open");
        self.end
    }

    /// Sends one request after the other, each when the one before has been answered, until the
    /// server has closed the connection.
    pub(crate) async fn end_under_load(mut self, requests: impl Iterator<Item = Vec<u8>>) -> End {
        let working = async {
            for request in requests {
                let before = self.end.headers;
                if self.writer.write_all(&request).await.is_err() {
                    return;
                }
                // An answer has headers and trailers.
                while self.end.headers < before + 2 {
                    if self.next().await.is_err() {
                        return;
                    }
                }
            }
        };
        timeout(LONG, working).await.expect("the connection stays open");
        self.end
    }

    /// Sends bytes for as long as the server takes them, and reads without answering anything until
    /// it has closed the connection.
    pub(crate) async fn flood(mut self, bytes: Vec<u8>) -> End {
        let writing = async {
            let _ = self.writer.write_all(&bytes).await;
        };
        let reading = async {
            while let Ok(frame) = read(&mut self.reader).await {
                self.end.note(&frame);
            }
        };
        let both = async { tokio::join!(writing, reading) };
        timeout(LONG, both).await.expect("the connection stays open");
        self.end
    }
}
