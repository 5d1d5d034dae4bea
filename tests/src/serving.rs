//! A running `foreshadow serve`, as its users start it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use foreshadow_api::v1::foreshadow_client::ForeshadowClient;
use tonic::transport::{Channel, Endpoint};

use crate::program;

/// The child process; killed when dropped.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    stderr: Option<ChildStderr>,
    grpc: String,
    http: String,
}

/// Starts `foreshadow serve` with a configuration file, without waiting for anything.
///
/// # Panics
/// When the program cannot be started.
pub fn spawn(config: &Path) -> Child {
    Command::new(program("foreshadow"))
        .arg("serve")
        .arg("--config")
        .arg(config)
        .env("FORESHADOW_LOG", "warn")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

impl Serving {
    /// Starts it and waits until it takes connections.
    ///
    /// # Errors
    /// Its exit and standard error, when it ends instead.
    pub fn start(config: &Path) -> Result<Self, (ExitStatus, String)> {
        let mut child = spawn(config);
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("stdout can be read");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let address = |name: &str| {
            let word = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            word.map(String::from)
        };
        let (Some(grpc), Some(http)) = (address("grpc"), address("http")) else {
            let mut told = String::new();
            stderr.read_to_string(&mut told).expect("stderr is text");
            return Err((child.wait().expect("the child was not waited for"), told));
        };
        Ok(Self { child, stderr: Some(stderr), grpc, http })
    }

    /// Where gRPC is served.
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Where HTTP is served.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// A connected client.
    ///
    /// # Panics
    /// When it does not take connections.
    pub async fn client(&self) -> ForeshadowClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).expect("it names its address");
        ForeshadowClient::new(endpoint.connect().await.expect("it takes connections"))
    }

    /// The answer to a GET over HTTP: its status and body.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.get_as(path, "*/*")
    }

    /// The same with what the client accepts, as a browser or a machine says it.
    ///
    /// # Panics
    /// When there is none.
    pub fn get_as(&self, path: &str, accept: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.http).expect("it takes connections");
        let head = format!("host: {}\r\naccept: {accept}\r\nconnection: close", self.http);
        let request = format!("GET {path} HTTP/1.1\r\n{head}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.expect("an answer has a status"), body.into())
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn terminate(&self) {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(sent.expect("`kill` is on every system").success(), "the child runs");
    }

    /// Sends SIGKILL.
    ///
    /// # Panics
    /// When the child was waited for before.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child was not waited for");
    }

    /// Waits for its end; its exit and standard error.
    ///
    /// # Panics
    /// When it has not ended after 30 seconds.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                break status;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "it has not ended after 30 s");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut told = String::new();
        let mut stderr = self.stderr.take().expect("only `wait` takes it");
        stderr.read_to_string(&mut told).expect("stderr is text");
        (status, told)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill(); // ended already is as good
        let _ = self.child.wait();
    }
}
