use std::io::{BufRead as _, BufReader};

use rustix::event::{PollFd, PollFlags, poll};

use super::*;

struct Fixture {
    control: Control,
    seen: Vec<Command>,
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path()).unwrap();
        Self { control: Control::open(&layout).unwrap(), seen: Vec::new(), directory }
    }

    fn connect(&mut self) -> UnixStream {
        let stream = UnixStream::connect(self.directory.path().join("shim.sock")).unwrap();
        self.turn();
        stream
    }

    /// Serves what is ready, once something is.
    fn turn(&mut self) {
        let mut fds: Vec<PollFd<'_>> = self
            .control
            .descriptors()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        poll(&mut fds, None).unwrap();
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        self.control.serve(&ready, &mut |command| {
            self.seen.push(command.clone());
            Answer::Ok
        });
    }
}

fn line(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn the_socket_is_for_root_only() {
    let fixture = Fixture::new();
    let mode = fs::metadata(&fixture.control.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_command_in_pieces_is_answered_once_it_is_complete() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    client.write_all(br#"{"command":"sig"#).unwrap();
    fixture.turn();
    assert!(fixture.seen.is_empty() && fixture.control.deadline().is_some());
    client.write_all(b"nal\",\"signal\":15}\n").unwrap();
    fixture.turn();
    assert_eq!(fixture.seen, [Command::Signal { signal: 15, to_all: false }]);
    assert_eq!(fixture.control.deadline(), None);
    assert_eq!(line(&client), "{\"answer\":\"ok\"}\n");
}

#[test]
fn what_is_not_a_command_is_answered_with_the_reason() {
    let mut fixture = Fixture::new();
    let mut client = fixture.connect();
    client.write_all(b"{\"command\":\"dance\"}\n").unwrap();
    fixture.turn();
    assert!(line(&client).contains("this is not a command: unknown variant `dance`"));
}

#[test]
fn an_endless_line_closes_its_connection() {
    let mut fixture = Fixture::new();
    let client = fixture.connect();
    client.set_nonblocking(true).unwrap();
    while !fixture.control.clients.is_empty() {
        let _ = (&client).write(&[b' '; CHUNK_BYTES]);
        fixture.turn();
    }
}

#[test]
fn the_oldest_connection_makes_room_for_a_new_one() {
    let mut fixture = Fixture::new();
    let clients: Vec<UnixStream> = (0..=MAX_CLIENTS).map(|_| fixture.connect()).collect();
    assert_eq!(fixture.control.clients.len(), MAX_CLIENTS);
    assert_eq!(line(&clients[0]), "", "the first is closed");
    (&clients[1]).write_all(b"{\"command\":\"acknowledge\"}\n").unwrap();
    fixture.turn();
    assert_eq!(fixture.seen, [Command::Acknowledge]);
}

#[test]
fn a_long_directory_name_does_not_prevent_listening() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("d".repeat(200));
    fs::create_dir(&long).unwrap();
    let control = Control::open(&Layout::new(&long).unwrap()).unwrap();
    assert!(long.join("shim.sock").exists());
    control.close().unwrap();
    assert!(!long.join("shim.sock").exists());
}
