//! What a request makes others do: threads and processes that it begins, calls that are under way
//! together, calls while its answer is on the way and after it.

use clew_testbed::Process;
use clew_tests::plan::Call;
use clew_tests::require::Need;
use clew_tests::score::Score;
use clew_tests::service::{self, CURL, Runtime};
use clew_tests::{Backend, Stage, report};

on_each_backend!(
    threads_of_a_request,
    commands_of_a_request,
    forks_of_a_request,
    a_pool_that_begins_threads_during_requests,
    calls_together_from_one_thread,
    calls_while_the_answer_is_on_the_way,
    late_calls,
    a_process_per_connection,
);

const LEVELS: [usize; 3] = [1, 8, 64];

/// A service that makes its calls in this way (`tests/services/service.py`), and one that it calls.
fn start(stage: &Stage, way: &str) -> (Call, [Process; 2]) {
    let command = service::python_program("service.py", &["8001", way]).unwrap();
    let server = service::listening(stage.start(way, command).unwrap(), 8001).unwrap();
    let leaf = Runtime::Python.start(stage, 8002).unwrap();
    let leaf_call = || Call::to("http://127.0.0.1:8002").working(2);
    let call = Call::to("http://127.0.0.1:8001").working(3);
    let call = call.calling(leaf_call()).calling(leaf_call());
    (call, [server, leaf])
}

fn load(stage: &Stage, what: &str, call: &Call, levels: [usize; 3]) -> Vec<Score> {
    let levels = levels.map(|threads| {
        let count = 2 * threads.max(25);
        let score = stage.load(what, call, count, threads).unwrap();
        report(&format!("{what}, {threads} at a time: {}", score.figures()));
        score
    });
    levels.into()
}

/// Everything is found: one at a time at once, and by that the service shows that what a request
/// begins ends with it, which counts among other requests.
fn check(name: &str, way: &str, backend: Backend, needs: &[Need]) {
    let Some(stage) = Stage::shared(name, backend, needs) else {
        return;
    };
    let (call, _services) = start(&stage, way);
    let scores = load(&stage, &format!("{backend:?}-{way}"), &call, LEVELS);
    scores.iter().for_each(Score::assert_exact);
}

fn threads_of_a_request(backend: Backend) {
    check("its-threads", "threads", backend, Runtime::NEEDS);
}

fn commands_of_a_request(backend: Backend) {
    let needs = [Runtime::NEEDS, &[CURL]].concat();
    check("its-commands", "commands", backend, &needs);
}

fn forks_of_a_request(backend: Backend) {
    check("its-forks", "forks", backend, Runtime::NEEDS);
}

fn calls_together_from_one_thread(backend: Backend) {
    check("together", "together", backend, Runtime::NEEDS);
}

fn calls_while_the_answer_is_on_the_way(backend: Backend) {
    check("streaming", "streaming", backend, Runtime::NEEDS);
}

fn a_process_per_connection(backend: Backend) {
    check("per-connection", "forking", backend, Runtime::NEEDS);
}

/// Its threads outlive the request that was served when they began, and work for others.
fn a_pool_that_begins_threads_during_requests(backend: Backend) {
    let Some(stage) = Stage::shared("lazy-pool", backend, Runtime::NEEDS) else {
        return;
    };
    // Many at a time from the beginning, so that threads begin for one and work for another.
    let (call, _services) = start(&stage, "pool");
    // Many at a time from the beginning: threads then begin for one and work for another.
    let levels = [64, 8, 1];
    for score in load(&stage, &format!("{backend:?}-pool"), &call, levels) {
        score.assert_true();
    }
}

/// What is sent after the answer is nobody's.
fn late_calls(backend: Backend) {
    let Some(stage) = Stage::shared("late", backend, Runtime::NEEDS) else {
        return;
    };
    let (call, _services) = start(&stage, "late");
    for score in load(&stage, &format!("{backend:?}-late"), &call, LEVELS) {
        score.assert_true();
        let evidence: Vec<_> = score.asserted.keys().collect();
        assert_eq!(evidence, ["socket"], "{score}");
    }
}
