//! What each command does, on the caller's side of the socket.

mod entry;
mod pods;
mod report;
mod start;
mod stop;

use anyhow::{Context, Result, bail};
use egret_lab::control::{Control, NetRequest, Reply, Request};
use egret_lab::home::Home;
use egret_lab::kubelet::slot;
use egret_lab::process::Order;
use egret_lab::topology::{NodeId, Target};
use egret_lab::{containment, echo, isolation, supervisor};

use crate::arguments::{
    Arguments, Command, Endpoints, Net, Node, OnNode, OnOff, OnReplica, Sides, Uplink,
};

/// Runs a command; the exit code.
pub(crate) fn run(arguments: Arguments) -> Result<i32> {
    let home = Home::of(&arguments.lab);
    match arguments.command {
        Command::Init { home } => {
            isolation::init(&std::env::current_exe()?, &Home::at(home))?;
            Ok(0)
        }
        Command::Supervise { home } => in_runtime(supervisor::live(&Home::at(home))),
        Command::Contain { file } => match containment::become_contained(&file)? {},
        Command::Echo => in_runtime(echo::serve()),
        Command::Up(up) => start::up(&arguments.lab, &home, &up),
        Command::Down => stop::down(&arguments.lab, &home),
        Command::Status => report::status(&home),
        Command::Logs { process, follow } => report::logs(&home, &process, follow),
        Command::Seen { reset } => entry::seen(&home, reset),
        Command::Pod(pod) => pods::pod(&home, pod),
        Command::Pods(pods) => pods::pods(&home, &pods),
        Command::Curl(curl) => entry::curl(&home, &curl),
        Command::Stream(stream) => entry::stream(&home, &stream),
        Command::Offer(offer) => entry::offer(&home, &offer),
        Command::Exec(exec) => entry::exec(&home, &exec.target, &exec.command),
        Command::Kubectl { args } => entry::kubectl(&home, &args),
        Command::Shell => {
            let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
            entry::exec(&home, &Target::Lab, &[shell])
        }
        Command::Node(Node::Off { node }) => ask(&home, &Request::Power { node, on: false }),
        Command::Node(Node::On { node }) => ask(&home, &Request::Power { node, on: true }),
        Command::Agent(what) => agent(&home, &what),
        Command::Operator(what) => replica(&home, "operator", &what),
        Command::Webhook(what) => replica(&home, "webhook", &what),
        Command::Apiserver(what) => apiserver(&home, what),
        Command::Net(net) => cables(&home, net),
    }
}

fn in_runtime<E: std::error::Error + Send + Sync + 'static>(
    future: impl Future<Output = Result<(), E>>,
) -> Result<i32> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(future)?;
    Ok(0)
}

/// Asks the supervisor for something that has no answer but its being done.
fn ask(home: &Home, request: &Request) -> Result<i32> {
    match Control::connect(home)?.ask(request)? {
        Reply::Done => Ok(0),
        other => bail!("the lab's supervisor answered something else: {other:?}"),
    }
}

fn process(home: &Home, name: String, order: Order) -> Result<i32> {
    ask(home, &Request::Process { name, order })
}

fn kill(stay: bool) -> Order {
    if stay { Order::Halt } else { Order::Kill }
}

fn agent(home: &Home, what: &OnNode) -> Result<i32> {
    let (node, order): (NodeId, Order) = match *what {
        OnNode::Kill { node, stay } => (node, kill(stay)),
        OnNode::Stop { node } => (node, Order::Stop),
        OnNode::Cont { node } => (node, Order::Cont),
        OnNode::Restart { node } => (node, Order::Restart),
    };
    process(home, slot::of_agent(node), order)
}

fn replica(home: &Home, workload: &str, what: &OnReplica) -> Result<i32> {
    let (replica, order) = match *what {
        OnReplica::Kill { replica, stay } => (replica, kill(stay)),
        OnReplica::Stop { replica } => (replica, Order::Stop),
        OnReplica::Cont { replica } => (replica, Order::Cont),
        OnReplica::Restart { replica } => (replica, Order::Restart),
    };
    let name = replica.map_or(workload.to_owned(), |replica| {
        format!("{workload}/{replica}")
    });
    process(home, name, order)
}

fn apiserver(home: &Home, what: OnOff) -> Result<i32> {
    let name = "apiserver".to_owned();
    if what == OnOff::Stop {
        return process(home, name, Order::Shutdown);
    }
    process(home, name, Order::Start)?;
    ask(home, &Request::AwaitApi)
}

fn cables(home: &Home, net: Net) -> Result<i32> {
    let list = |endpoints: Option<Endpoints>| endpoints.map(|list| list.0).unwrap_or_default();
    let request = match net {
        Net::Cut(Sides { from: None, .. }) => {
            bail!("say what to cut: node-N, ext or api, with commas between them")
        }
        Net::Cut(Sides { from, to, one_way }) => NetRequest::Cut {
            from: list(from),
            to: list(to),
            one_way,
        },
        Net::Heal(Sides { from, to, one_way }) => NetRequest::Heal {
            from: list(from),
            to: list(to),
            one_way,
        },
        Net::Uplink(Uplink::Down { node }) => NetRequest::Uplink { node, up: false },
        Net::Uplink(Uplink::Up { node }) => NetRequest::Uplink { node, up: true },
    };
    ask(home, &Request::Net(request)).context("the network stays as it was")
}
