//! Coming up, going down, and every way to end that leaves nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use super::driver::{Lab, assets, eventually, write_program};
use super::machine::{Outside, command_line, is_anybody_in, namespaces_of, processes_of};

/// What a process of a lab is there for: the name of its program, or its part when that is the lab's own.
fn role(command_line: &str) -> &str {
    let mut words = command_line.split('\0');
    let path = words.next().unwrap_or_default();
    match path.rsplit('/').next() {
        Some("egret-lab") => words.next().unwrap_or_default(),
        name => name.unwrap_or_default(),
    }
}

/// The process of the lab that has this role.
fn process_of(lab: &Lab, wanted: &str) -> Option<u32> {
    let has_it = |pid: &u32| role(&command_line(*pid)) == wanted;
    processes_of(lab.folder()).into_iter().find(has_it)
}

/// Kills it; its number.
fn kill(lab: &Lab, role: &str) -> u32 {
    let pid = process_of(lab, role).unwrap();
    let status = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
    pid
}

#[test]
fn a_lab_comes_up_and_goes_without_a_trace() {
    let before = Outside::now();
    let lab = Lab::up(&["--nodes", "2"]);
    lab.ok(&["pod", "a", "--node", "node-2"]);
    assert_eq!(Outside::now(), before);
    let processes = processes_of(lab.folder());
    let namespaces = namespaces_of(&processes);
    // unshare, the first process, the supervisor, the API server, the controllers.
    assert!(processes.len() >= 5, "{processes:?}");
    assert!(namespaces.len() >= 4, "{namespaces:?}");
    let busy = Busy::start(&lab);

    lab.ok(&["down"]);

    assert_eq!(processes_of(lab.folder()), Vec::<u32>::new());
    busy.wait();
    // The machine's own first process may still have to take note of the end.
    eventually("no namespace is left", || !is_anybody_in(&namespaces));
    assert_eq!(Outside::now(), before);
    assert_eq!(fs::read_dir(lab.folder()).unwrap().count(), 0);
}

/// What keeps namespaces alive if it does not end: a program in a Pod, and a stream, which is a process outside.
struct Busy {
    sleep: Child,
    stream: Child,
}

impl Busy {
    /// In Pod `default/a` of this lab, which has neither; both run.
    fn start(lab: &Lab) -> Self {
        let start = |args: &[&str]| {
            let mut command = lab.command(args);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let sleep = start(&["exec", "default/a", "--", "sleep", "1000"]);
        let stream = start(&["stream", "default/a", "--seconds", "1000"]);
        eventually("it sleeps", || {
            let look = ["exec", "lab", "--", "pgrep", "-x", "sleep"];
            lab.run(&look).status.success()
        });
        eventually("it streams", || !lab.ok(&["seen"]).is_empty());
        Self { sleep, stream }
    }

    /// Waits until both have failed.
    fn wait(mut self) {
        assert!(!self.sleep.wait().unwrap().success());
        assert!(!self.stream.wait().unwrap().success());
    }
}

#[test]
fn a_lab_that_loses_any_process_that_holds_it_together_leaves_nothing_and_comes_up_again() {
    let lab = Lab::new();
    for role in ["supervise", "init", "unshare"] {
        lab.ok(&["up", "--without-egret", "--nodes", "1"]);
        assert_eq!(lab.ok(&["pod", "a", "--node", "node-1"]), "10.244.1.2");
        let namespaces = namespaces_of(&processes_of(lab.folder()));
        let busy = Busy::start(&lab);

        kill(&lab, role);

        eventually("no process is left", || {
            processes_of(lab.folder()).is_empty()
        });
        busy.wait();
        eventually("no namespace is left", || !is_anybody_in(&namespaces));
        assert!(lab.fails(&["status"]).contains("hack/lab up"), "{role}");
    }
}

#[test]
fn an_api_server_that_is_killed_is_started_again() {
    let lab = Lab::up(&["--nodes", "1"]);
    lab.ok(&["pod", "a", "--node", "node-1"]);
    let killed = kill(&lab, "kube-apiserver");
    eventually("another runs", || {
        process_of(&lab, "kube-apiserver").is_some_and(|pid| pid != killed)
    });
    lab.ok(&["apiserver", "start"]);
    assert_eq!(lab.ok(&["kubectl", "get", "pods", "-oname"]), "pod/a");
}

#[test]
fn an_up_that_is_given_up_takes_the_lab_with_it() {
    let lab = Lab::new();
    let mut up = lab
        .command(&["up", "--without-egret"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the API server is starting", || {
        process_of(&lab, "kube-apiserver").is_some()
    });
    assert_eq!(up.try_wait().unwrap(), None, "too late to be given up");
    up.kill().unwrap();
    up.wait().unwrap();
    eventually("no process is left", || {
        processes_of(lab.folder()).is_empty()
    });
}

#[test]
fn an_up_that_is_given_up_while_nothing_moves_takes_the_lab_with_it_at_once() {
    let lab = Lab::new();
    let programs = lab.folder().join("programs");
    fs::create_dir(&programs).unwrap();
    for program in fs::read_dir(assets()).unwrap().flatten() {
        symlink(program.path(), programs.join(program.file_name())).unwrap();
    }
    fs::remove_file(programs.join("kube-apiserver")).unwrap();
    write_program(&programs.join("kube-apiserver"), "sleep 1000; exit");
    let programs = programs.display().to_string();
    let mut up = lab
        .command(&["up", "--without-egret", "--assets", &programs])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let steps = BufReader::new(up.stderr.take().unwrap()).lines();
    let wired = steps
        .map_while(Result::ok)
        .find(|line| line.contains("wired"));
    assert!(wired.is_some(), "all but the API server comes up");
    up.kill().unwrap();
    up.wait().unwrap();
    // Sooner than the lab would give up by itself.
    eventually("no process is left", || {
        processes_of(lab.folder()).is_empty()
    });
}

#[test]
fn two_labs_live_side_by_side_and_one_name_only_once() {
    let (left, right) = (Lab::up(&["--nodes", "1"]), Lab::up(&["--nodes", "1"]));
    for lab in [&left, &right] {
        assert_eq!(lab.ok(&["pod", "a", "--node", "node-1"]), "10.244.1.2");
        assert_eq!(lab.ok(&["curl", "default/a"]), "10.10.0.101");
    }
    assert!(
        left.fails(&["up", "--without-egret"])
            .contains("is up already")
    );
    right.ok(&["down"]);
    assert_eq!(left.ok(&["curl", "default/a"]), "10.10.0.101");
}

#[test]
fn a_lab_of_both_families_answers_over_each_with_the_nodes_address_of_it() {
    let lab = Lab::up(&["--nodes", "1", "--family", "dual"]);
    let addresses = lab.ok(&["pod", "a", "--node", "node-1"]);
    assert_eq!(addresses, "10.244.1.2 fd24:0:0:1::2");
    assert_eq!(lab.ok(&["curl", "default/a"]), "10.10.0.101");
    assert_eq!(lab.ok(&["curl", "-6", "default/a"]), "fd10::101");
    let seen = lab.ok(&["seen"]);
    assert!(
        seen.contains("10.10.0.101 ") && seen.contains("fd10::101 "),
        "{seen}"
    );
}

#[test]
fn what_this_lab_cannot_do_is_refused_before_anything_starts() {
    let lab = Lab::new();
    for option in [
        ["--cni", "overlay"],
        ["--kube-proxy", "nftables"],
        ["--lease", "3s"],
    ] {
        let message = lab.fails(&[&["up", "--without-egret"], &option[..]].concat());
        assert!(
            message.contains(option[0]) && message.contains("not supported"),
            "{message}"
        );
    }
    assert_eq!(fs::read_dir(lab.folder()).unwrap().count(), 0);
    assert!(
        lab.fails(&["up", "--assets", "/nowhere"])
            .contains("hack/tools/build")
    );
}
