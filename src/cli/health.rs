//! `otpgate health`: asks a server on this machine whether it is ready, for supervisors whose only probe is a command. An image
//! that holds nothing but otpgate has no other program to ask with. Knows the address and no store: it opens nothing.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;

use crate::cli::{CliError, Environment};
use crate::config::{Config, Flags, Sources};

/// For the connection, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of the answer that are read; its first line says it all.
const ANSWER: u64 = 1_024;

/// The arguments of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The configuration that the server was started with, a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
    /// Where the API is served [default: what the configuration says]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
}

/// Says `ready` where the server is.
///
/// # Errors
/// [`CliError::NotReady`] where it is not, or nobody answers; [`CliError::Config`].
pub fn run(args: HealthArgs, environment: Environment, out: &mut dyn Write) -> Result<(), CliError> {
    let flags = Flags { listen: args.listen, ..Flags::default() };
    let config = Config::load_beside(Sources { file: args.config, environment, flags })?;
    if config.tls.files().is_some() {
        return Err(CliError::Usage(
            "the listener has TLS of its own, which this command does not speak; ask /health/ready by its name"
                .to_owned(),
        ));
    }
    let address = reachable(config.listen);
    match ask(address) {
        Ok(true) => Ok(writeln!(out, "ready")?),
        Ok(false) => Err(CliError::NotReady(format!("{address} is not ready"))),
        Err(error) => Err(CliError::NotReady(format!("{address} does not answer: {error}"))),
    }
}

/// Where a listener on any address is reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece: whoever answers the first of several and hangs up resets the connection for the rest.
    let request = format!("GET /health/ready HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.1 ") {
        return Err(std::io::Error::other("it speaks no HTTP"));
    }
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_any_address_is_asked_on_the_loopback() {
        for (listen, asked) in
            [("0.0.0.0:8080", "127.0.0.1:8080"), ("[::]:8080", "[::1]:8080"), ("192.0.2.1:80", "192.0.2.1:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }

    #[test]
    fn only_two_hundred_is_ready() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(true)),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some(false)),
            ("220 mail.example.com ESMTP\r\n", None),
            ("", None),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 512];
                let read = stream.read(&mut head).unwrap();
                assert!(head[..read].starts_with(b"GET /health/ready HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(ask(address).ok(), expected, "{answer:?}");
            server.join().unwrap();
        }
    }
}
