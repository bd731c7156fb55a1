use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, fs, io};

use async_trait::async_trait;
use doorward_domain::{MailTransport, Message, SEND_LIMIT, SendError};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{AsyncSmtpTransport, AsyncSmtpTransportBuilder, PoolConfig};
use lettre::{AsyncTransport, Tokio1Executor};
use secrecy::ExposeSecret;
use thiserror::Error;

use crate::smtp_error::send_error;
use crate::smtp_options::Server;
use crate::{InvalidSmtpUrl, Sender, SmtpOptions, SmtpSecurity, mime};

/// How many idle connections are kept for the next message.
const MAX_IDLE: u32 = 16;
/// How long one is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

type Pool = AsyncSmtpTransport<Tokio1Executor>;

/// Sends messages to a mail server (RFC 5321), over connections that are used again.
///
/// Nothing is connected before the first message. One that was sent to has to be dropped inside the Tokio
/// runtime, which closes its connections.
pub struct SmtpTransport {
    from: Sender,
    builder: AsyncSmtpTransportBuilder,
    /// Made with the first message, since the pool starts a task and so needs the runtime.
    pool: Mutex<Option<Pool>>,
}

/// Why mail cannot be sent with these options.
#[derive(Debug, Error)]
pub enum UnusableSmtp {
    /// They name no mail server.
    #[error(transparent)]
    Options(#[from] InvalidSmtpUrl),
    /// The file of certificates cannot be read.
    #[error("the certificates in {} cannot be read", .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// TLS cannot be set up, for instance because the platform has no certificates.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SmtpTransport {
    /// Reads the certificates and checks the options; does not connect.
    ///
    /// # Errors
    ///
    /// [`UnusableSmtp`] when no message could ever be sent with these options.
    pub fn new(options: SmtpOptions) -> Result<Self, UnusableSmtp> {
        let server = options.server()?;
        let tls = tls(&server, options.ca_file.as_deref())?;
        let pool = PoolConfig::new().min_idle(0).max_size(MAX_IDLE).idle_timeout(IDLE_LIMIT);
        let mut builder = Pool::builder_dangerous(server.host)
            .port(server.port)
            .tls(tls)
            .hello_name(ClientId::Domain(server.hello_name))
            .timeout(Some(SEND_LIMIT))
            .pool_config(pool);
        if let Some((username, password)) = server.credentials {
            builder = builder.credentials(Credentials::new(username, password.expose_secret().to_owned()));
        }
        Ok(Self { from: options.from, builder, pool: Mutex::new(None) })
    }

    /// Connects as for a message, authenticates, and sends none.
    ///
    /// # Errors
    ///
    /// [`SendError`] as for a message.
    pub async fn check(&self) -> Result<(), SendError> {
        // A pool of its own, whose one connection is closed with it.
        let pool: Pool = self.builder.clone().build();
        match tokio::time::timeout(SEND_LIMIT, pool.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(SendError::Unreachable("the server does not answer".to_owned())),
            Ok(Err(error)) => Err(send_error(&error)),
            Err(_) => Err(SendError::Unreachable(format!("no answer within {} s", SEND_LIMIT.as_secs()))),
        }
    }

    fn pool(&self) -> Pool {
        self.lock().get_or_insert_with(|| self.builder.clone().build()).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pool>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl MailTransport for SmtpTransport {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let written = mime::write(&self.from, message)
            .map_err(|problem| SendError::Permanent(format!("the message cannot be written: {problem}")))?;
        let pool = self.pool();
        let mut sending = pool.send_raw(&written.envelope, &written.bytes);
        // Declared after the dialogue and so dropped before it.
        let mut dialogue = Dialogue { transport: self, over: false };
        // The limit of the transport is for each step; this one is for all of them.
        let Ok(result) = tokio::time::timeout(SEND_LIMIT, &mut sending).await else {
            return Err(SendError::Unreachable(format!("not done within {} s", SEND_LIMIT.as_secs())));
        };
        dialogue.over = true;
        result.map(|_| ()).map_err(|error| send_error(&error))
    }
}

impl fmt::Debug for SmtpTransport {
    /// The builder's own debug output is not ours to vouch for, and it knows the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpTransport").field("from", &self.from).finish_non_exhaustive()
    }
}

/// Gives up the pool when a dialogue is cut off in the middle, by the limit or by a caller who stops waiting.
///
/// The pool takes such a connection back as a sound one. The next message on it would read the answers that
/// were meant for this one, and a message that was refused could count as sent.
struct Dialogue<'a> {
    transport: &'a SmtpTransport,
    over: bool,
}

impl Drop for Dialogue<'_> {
    fn drop(&mut self) {
        if !self.over {
            let given_up = self.transport.lock().take();
            drop(given_up);
        }
    }
}

fn tls(server: &Server, ca_file: Option<&Path>) -> Result<Tls, UnusableSmtp> {
    let parameters = || -> Result<TlsParameters, UnusableSmtp> {
        let mut builder = TlsParameters::builder(server.host.clone());
        if let Some(path) = ca_file {
            builder = builder.add_root_certificate(certificates(path)?);
        }
        builder.build().map_err(|error| UnusableSmtp::Tls(Box::new(error)))
    };
    Ok(match server.security {
        SmtpSecurity::StartTls => Tls::Required(parameters()?),
        SmtpSecurity::Tls => Tls::Wrapper(parameters()?),
        SmtpSecurity::None => Tls::None,
    })
}

fn certificates(path: &Path) -> Result<Certificate, UnusableSmtp> {
    let unreadable = |source| UnusableSmtp::CaFile { path: path.to_owned(), source };
    let pem = fs::read(path).map_err(unreadable)?;
    // A file without any certificate would be taken, and every connection would fail later.
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, "it holds no certificate (PEM)")));
    }
    Certificate::from_pem(&pem).map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::testing::{headers, message, sender};

    fn transport(port: u16, security: Option<SmtpSecurity>) -> SmtpTransport {
        let url = format!("smtp://127.0.0.1:{port}").into();
        SmtpTransport::new(SmtpOptions { security, ..SmtpOptions::new(url, sender()) }).unwrap()
    }

    /// A server for one connection, which answers `RCPT TO` like this and returns the message it was given.
    fn server(rcpt: &'static str) -> (u16, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (port, thread::spawn(move || serve(listener.accept().unwrap().0, rcpt)))
    }

    fn serve(mut stream: TcpStream, rcpt: &str) -> String {
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut taken = String::new();
        let mut in_data = false;
        stream.write_all(b"220 test\r\n").unwrap();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return taken;
            }
            let answer = match line.trim_end() {
                "." if in_data => {
                    in_data = false;
                    "250 taken"
                }
                _ if in_data => {
                    taken.push_str(&line);
                    continue;
                }
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "QUIT" => return taken,
                command if command.starts_with("RCPT") => rcpt,
                _ => "250 fine",
            };
            if stream.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
                return taken;
            }
        }
    }

    #[tokio::test]
    async fn a_message_arrives_as_it_was_written() {
        let (port, server) = server("250 fine");
        let transport = transport(port, Some(SmtpSecurity::None));
        transport.send(&message("<0190-a@example.com>")).await.unwrap();
        // The pool takes a connection back in a task of its own.
        tokio::time::sleep(Duration::from_millis(50)).await;
        transport.send(&message("<0190-b@example.com>")).await.unwrap();
        drop(transport);
        let taken = tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
        let headers = headers(taken.as_bytes());
        assert!(headers.contains(&("Message-ID".to_owned(), "<0190-a@example.com>".to_owned())));
        assert!(taken.contains("<0190-b@example.com>"), "the connection is used again");
    }

    #[tokio::test]
    async fn a_refusal_says_whether_to_try_again() {
        let refusal = async |rcpt: &'static str| {
            let (port, _server) = server(rcpt);
            transport(port, Some(SmtpSecurity::None)).send(&message("<a@b>")).await.unwrap_err()
        };
        let error = refusal("550 5.1.1 no such user").await;
        assert!(
            matches!(&error, SendError::Permanent(text) if text.starts_with("550 5.1.1 no such user")),
            "{error:?}"
        );
        let error = refusal("450 4.2.0 greylisted").await;
        assert!(matches!(&error, SendError::Temporary(text) if text.starts_with("450 ")), "{error:?}");
        let error = refusal("530 5.7.0 log in first").await;
        assert!(matches!(&error, SendError::Unreachable(text) if text.starts_with("530 ")), "{error:?}");
        // Said of one recipient, so it must not count as no connection, which holds up all.
        let error = refusal("421 4.7.0 too much mail for this domain").await;
        assert!(matches!(&error, SendError::Unreachable(text) if text.starts_with("421 ")), "{error:?}");
    }

    #[tokio::test]
    async fn without_security_of_its_own_a_server_gets_no_message() {
        let (port, server) = server("250 fine");
        let error = transport(port, None).send(&message("<a@b>")).await.unwrap_err();
        assert!(matches!(error, SendError::Unreachable(_)), "{error:?}");
        let taken = tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
        assert_eq!(taken, "");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_cannot_be_connected_to() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = transport(port, Some(SmtpSecurity::None)).send(&message("<a@b>")).await.unwrap_err();
        assert!(matches!(error, SendError::NoConnection(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_dialogue_that_was_cut_off_takes_its_pool_along() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let transport = transport(listener.local_addr().unwrap().port(), Some(SmtpSecurity::None));
        let message = message("<a@b>");
        let patience = Duration::from_millis(50);
        assert!(tokio::time::timeout(patience, transport.send(&message)).await.is_err(), "the server says nothing");
        assert!(transport.lock().is_none());
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path().to_owned(), PathBuf::from("/nonexistent/ca.pem")] {
            let options = SmtpOptions { ca_file: Some(path), ..SmtpOptions::new("smtp://a.example".into(), sender()) };
            assert!(matches!(SmtpTransport::new(options), Err(UnusableSmtp::CaFile { .. })));
        }
    }
}
