//! Real processes that end, are killed, halted and restarted.

use super::*;

fn launch(script: &str, folder: &std::path::Path) -> Launch {
    Launch {
        name: "test".to_owned(),
        netns: Netns::Root,
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: Vec::new(),
        log: folder.join("log"),
        grace: Duration::from_secs(5),
    }
}

async fn running(process: &Process) -> u32 {
    let mut course = process.course();
    let found = course
        .wait_for(|course| matches!(course.state, State::Running(_)))
        .await
        .unwrap();
    match found.state {
        State::Running(pid) => pid,
        _ => unreachable!(),
    }
}

#[test]
fn delays_double_up_to_a_limit_and_begin_again_after_a_good_life() {
    let mut backoff = Backoff::default();
    let mut delays = Vec::new();
    for life_s in [0, 0, 0, 0, 0, 0, 0, 0, 11, 0] {
        let (delay, next) = backoff.after(Duration::from_secs(life_s));
        delays.push(delay.as_millis());
        backoff = next;
    }
    assert_eq!(
        delays,
        [100, 200, 400, 800, 1600, 3200, 5000, 5000, 100, 200]
    );
}

#[tokio::test]
async fn a_killed_process_comes_back_and_a_halted_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::keep(launch("sleep 1000", folder.path()));
    let first = running(&process).await;
    process.order(Order::Kill).await.unwrap();
    assert_ne!(running(&process).await, first);
    process.order(Order::Halt).await.unwrap();
    assert_eq!(process.state(), State::Down);
    process.order(Order::Start).await.unwrap();
    running(&process).await;
}

#[tokio::test]
async fn a_restart_ends_the_old_one_with_sigterm_before_it_starts_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo up; trap 'echo bye; exit' TERM; while :; do sleep 0.01; done";
    let process = Process::keep(launch(script, folder.path()));
    running(&process).await;
    let log = folder.path().join("log");
    while !std::fs::read_to_string(&log).unwrap().contains("up") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.order(Order::Restart).await.unwrap();
    while std::fs::read_to_string(&log).unwrap() != "up\nbye\nup\n" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_stopped_process_says_so_until_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::keep(launch("sleep 1000", folder.path()));
    let pid = running(&process).await;
    process.order(Order::Stop).await.unwrap();
    assert_eq!(process.state(), State::Stopped(pid));
    process.order(Order::Cont).await.unwrap();
    assert_eq!(process.state(), State::Running(pid));
    process.order(Order::Halt).await.unwrap();
    assert!(process.order(Order::Stop).await.is_err());
}

#[tokio::test]
async fn a_program_that_is_missing_is_tried_again_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut launch = launch("", folder.path());
    launch.program = "/does/not/exist".into();
    let process = Process::keep(launch);
    assert!(process.order(Order::Restart).await.is_err());
}

#[tokio::test]
async fn one_that_takes_its_time_to_end_is_halted_at_once_when_its_power_goes() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; echo up; while :; do sleep 0.01; done";
    let mut launch = launch(script, folder.path());
    launch.grace = Duration::from_hours(1);
    let process = Process::keep(launch);
    running(&process).await;
    while std::fs::read(folder.path().join("log")).unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (ended, halted) = tokio::join!(process.order(Order::Restart), process.order(Order::Halt));
    ended.unwrap();
    halted.unwrap();
    assert_eq!(process.state(), State::Down);
    assert_eq!(process.course().borrow().starts, 1);
}
