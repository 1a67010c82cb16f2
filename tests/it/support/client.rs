//! A small HTTP/1.1 client on a blocking socket: it shares no code with the server, and shows an answer as it came.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A client that keeps its connection alive.
pub(crate) struct Client {
    address: SocketAddr,
    key: Option<String>,
    socket: Option<BufReader<TcpStream>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// A header field, by its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer, when its status is `status`.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, key: Option<&str>) -> Self {
        Self { address, key: key.map(str::to_owned), socket: None }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.call("GET", path, &[], "")
    }

    pub(crate) fn delete(&mut self, path: &str) -> Answer {
        self.call("DELETE", path, &[], "")
    }

    /// A POST with an empty body.
    pub(crate) fn post(&mut self, path: &str) -> Answer {
        self.call("POST", path, &[], "")
    }

    /// A POST of JSON.
    pub(crate) fn post_json(&mut self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[("Content-Type", "application/json")], &body.to_string())
    }

    /// Any request.
    pub(crate) fn call(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.try_call(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Any request; a socket that was closed while idle is opened again, once.
    pub(crate) fn try_call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Answer> {
        let reused = self.socket.is_some();
        match self.exchange(method, path, headers, body) {
            Err(error) if reused && error.kind() == std::io::ErrorKind::ConnectionReset => {
                self.exchange(method, path, headers, body)
            }
            outcome => outcome,
        }
    }

    /// Any request, sent once: what comes back as an error may have been done or not.
    pub(crate) fn try_once(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Answer> {
        self.exchange(method, path, headers, body)
    }

    fn exchange(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<Answer> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = TcpStream::connect(self.address)?;
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(Duration::from_secs(60)))?;
                BufReader::new(socket)
            }
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request += &format!("Host: {}\r\n", self.address);
        }
        if let Some(key) = &self.key {
            request += &format!("apikey: {key}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        request += body;
        socket.get_mut().write_all(request.as_bytes())?;
        let answer = read_answer(&mut socket, method)?;
        let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !closes {
            self.socket = Some(socket);
        }
        Ok(answer)
    }
}

/// Reads one answer off a socket.
pub(crate) fn read_answer(socket: &mut BufReader<TcpStream>, method: &str) -> std::io::Result<Answer> {
    let closed = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let mut line = String::new();
    if socket.read_line(&mut line)? == 0 {
        return Err(closed());
    }
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(closed)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line)? == 0 {
            return Err(closed());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(closed)?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = |headers: &[(String, String)]| {
        let field = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        field.and_then(|(_, value)| value.parse::<usize>().ok()).unwrap_or(0)
    };
    let mut body = vec![0; if method == "HEAD" || status == 204 { 0 } else { length(&headers) }];
    socket.read_exact(&mut body)?;
    Ok(Answer { status, headers, body: String::from_utf8(body).map_err(|_| closed())? })
}
