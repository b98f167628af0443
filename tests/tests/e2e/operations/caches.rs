//! Redis and Memcached.

use clew_tests::Backend;
use clew_tests::clients::Client;
use clew_tests::servers::Server;

use super::Case;

on_each_backend!(redis, memcached);

fn redis(backend: Backend) {
    let clients = [
        Client::Python("redis_py.py", &["2"]),
        Client::Python("redis_py.py", &["3"]),
        Client::Node("redis_node.js", &[]),
        Client::Shell("redis_cli.sh", "redis-cli", &[]),
    ];
    Case::new("redis", Server::Redis, 7811, &clients).check(backend);
}

fn memcached(backend: Backend) {
    let clients = [
        Client::Python("memcached_py.py", &["pymemcache"]),
        Client::Python("memcached_py.py", &["meta"]),
        Client::Go("memcached_go", &[]),
    ];
    Case::new("memcached", Server::Memcached, 7813, &clients).check(backend);
}
