//! What to call a process that does not name itself.
//!
//! The executable says it, except where it is an interpreter: then the program that it was told to
//! run does. A wrong name is worse than a dull one, so where the arguments are not understood the
//! executable's name stays.

/// An interpreter's command line, as far as finding the program in it needs.
struct Interpreter {
    /// How the executable's name begins; digits, dots and dashes may follow (`python3.11`).
    name: &'static str,
    /// Options that take the next argument.
    with_value: &'static [&'static str],
    /// Options whose argument is the program itself: a module, a jar, a file.
    program: &'static [&'static str],
    /// Options that bring the program's text: it has no name.
    inline: &'static [&'static str],
    /// Words before the program (`deno run app.ts`).
    words: &'static [&'static str],
    /// Options of one letter may be written together, and with their value (`-um module`, `-mhttp`).
    clusters: bool,
    /// Endings of the program's file that say nothing.
    endings: &'static [&'static str],
}

const NONE: Interpreter = Interpreter {
    name: "",
    with_value: &[],
    program: &[],
    inline: &[],
    words: &[],
    clusters: false,
    endings: &[],
};

const PYTHON: Interpreter = Interpreter {
    name: "python",
    with_value: &["-W", "-X", "--check-hash-based-pycs"],
    program: &["-m"],
    inline: &["-c", "-"],
    clusters: true,
    endings: &[".py", ".pyc", ".pyz"],
    ..NONE
};

const NODE: Interpreter = Interpreter {
    name: "node",
    with_value: &[
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
        "--env-file",
        "--title",
        "--icu-data-dir",
        "--openssl-config",
    ],
    inline: &["-e", "--eval", "-p", "--print", "-pe", "-"],
    endings: &[".js", ".mjs", ".cjs", ".ts"],
    ..NONE
};

const INTERPRETERS: [Interpreter; 10] = [
    PYTHON,
    Interpreter {
        name: "pypy",
        ..PYTHON
    },
    NODE,
    Interpreter {
        name: "nodejs",
        ..NODE
    },
    Interpreter {
        name: "java",
        with_value: &[
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--upgrade-module-path",
            "--add-modules",
            "--add-opens",
            "--add-exports",
            "--add-reads",
            "--limit-modules",
            "--patch-module",
            "--enable-native-access",
            "--source",
        ],
        program: &["-jar", "-m", "--module"],
        endings: &[".jar", ".war", ".java"],
        ..NONE
    },
    Interpreter {
        name: "ruby",
        with_value: &["-r", "-I", "-C", "-E"],
        inline: &["-e", "-"],
        clusters: true,
        endings: &[".rb", ".ru"],
        ..NONE
    },
    Interpreter {
        name: "php",
        with_value: &["-d", "-c", "-z", "-S", "-t"],
        program: &["-f"],
        inline: &["-r", "-R", "-B", "-E", "-a"],
        clusters: true,
        endings: &[".php", ".phar"],
        ..NONE
    },
    Interpreter {
        name: "perl",
        with_value: &["-I", "-M", "-m"],
        inline: &["-e", "-E", "-"],
        clusters: true,
        endings: &[".pl", ".psgi"],
        ..NONE
    },
    Interpreter {
        name: "dotnet",
        with_value: &[
            "--additionalprobingpath",
            "--depsfile",
            "--runtimeconfig",
            "--fx-version",
        ],
        words: &["exec"],
        endings: &[".dll"],
        ..NONE
    },
    Interpreter {
        name: "deno",
        with_value: &["-c", "--config", "--import-map", "--cert", "--env-file"],
        inline: &["eval", "repl"],
        words: &["run", "serve"],
        endings: &[".ts", ".js", ".mjs"],
        ..NONE
    },
];

/// Executables that are many programs: which one, the first argument says.
const MULTICALL: [&str; 3] = ["busybox", "toybox", "coreutils"];

/// The longest name that is made of arguments.
const NAME_MAX: usize = 128;

/// A service name from an executable's path or name and a process's arguments (the first is the
/// name it was called by). Empty only if both are.
#[must_use]
pub fn service_name(executable: &str, arguments: &[&str]) -> String {
    let called = arguments.first().map_or("", |first| base_name(first));
    let executable = match base_name(executable) {
        "" => called,
        name => name,
    };
    if MULTICALL.contains(&executable) && !called.is_empty() {
        return called.to_owned();
    }
    let rest = arguments.get(1..).unwrap_or_default();
    INTERPRETERS
        .iter()
        .find(|interpreter| interpreter.is(executable))
        .and_then(|interpreter| interpreter.program_name(rest))
        .unwrap_or_else(|| executable.to_owned())
}

/// `process.runtime.name`, where the executable's name makes it certain.
pub fn runtime_name(executable: &str) -> Option<&'static str> {
    let name = base_name(executable);
    [
        ("python", "cpython"),
        ("pypy", "pypy"),
        ("node", "nodejs"),
        ("nodejs", "nodejs"),
        ("ruby", "ruby"),
        ("php", "php"),
        ("php-fpm", "php"),
        ("perl", "perl"),
        ("deno", "deno"),
    ]
    .into_iter()
    .find(|(stem, _)| is_versioned(name, stem))
    .map(|(_, runtime)| runtime)
}

/// The last component of a path.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether `name` is `stem`, perhaps with a version behind it.
fn is_versioned(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem).is_some_and(|rest| {
        rest.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-')
    })
}

impl Interpreter {
    fn is(&self, executable: &str) -> bool {
        is_versioned(executable, self.name)
    }

    fn program_name(&self, arguments: &[&str]) -> Option<String> {
        let mut arguments = arguments.iter().copied();
        while let Some(argument) = arguments.next() {
            let (option, value) = self.option(argument);
            if self.inline.contains(&option) {
                return None;
            } else if self.program.contains(&option) {
                return self.clean(value.or_else(|| arguments.next())?);
            } else if self.with_value.contains(&option) {
                if value.is_none() {
                    arguments.next();
                }
            } else if argument == "--" {
                return self.clean(arguments.next()?);
            } else if !argument.starts_with('-') && !self.words.contains(&argument) {
                return self.clean(argument);
            }
        }
        None
    }

    /// The option in an argument that matters, and the value that is written together with it.
    fn option<'a>(&self, argument: &'a str) -> (&'a str, Option<&'a str>) {
        let lists = [self.inline, self.program, self.with_value];
        let letters = argument.strip_prefix('-').unwrap_or_default();
        if self.clusters && !letters.starts_with('-') && letters.is_ascii() {
            for (at, letter) in letters.char_indices() {
                let matches = |option: &&&'static str| option[1..].chars().eq([letter]);
                if let Some(option) = lists.into_iter().flatten().find(matches) {
                    let value = &letters[at + 1..];
                    return (option, (!value.is_empty()).then_some(value));
                }
            }
        }
        (argument, None)
    }

    /// The name in a script's path, a module, a jar or a class.
    fn clean(&self, program: &str) -> Option<String> {
        // `/opt/shop/__main__.py`, and modules run from their folder, are known by the folder.
        let path = program.trim_end_matches('/');
        let path = path.strip_suffix("/__main__.py").unwrap_or(path);
        // Java: `--module name/main.Class`.
        let name = match path.split_once('/') {
            Some((module, class)) if self.name == "java" && !class.ends_with(".jar") => {
                if module.is_empty() {
                    base_name(class)
                } else {
                    module
                }
            }
            _ => base_name(path),
        };
        let name = self
            .endings
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .unwrap_or(name);
        let fits = !name.is_empty()
            && name.len() <= NAME_MAX
            && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        fits.then(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (executable, command, wanted) in [
            ("/usr/sbin/nginx", "nginx: worker process", "nginx"),
            ("/usr/bin/curl", "curl http://h/", "curl"),
            ("", "/usr/bin/curl -s http://h/", "curl"),
            ("curl", "", "curl"),
            ("", "", ""),
            ("/bin/busybox", "httpd -f", "httpd"),
            ("/usr/bin/python3.11", "python3 app.py --port 1", "app"),
            (
                "/usr/bin/python3.11",
                "python3 -u -W ignore /srv/pay/api.py",
                "api",
            ),
            (
                "/usr/bin/python3.11",
                "python3 -m http.server 80",
                "http.server",
            ),
            (
                "/usr/bin/python3.11",
                "python3 -X dev -m flask run",
                "flask",
            ),
            (
                "/usr/bin/python3.11",
                "/usr/bin/python3 /usr/bin/gunicorn a:b",
                "gunicorn",
            ),
            ("/usr/bin/python3.11", "python3 -c import(x)", "python3.11"),
            (
                "/usr/bin/python3.11",
                "python3 /srv/shop/__main__.py",
                "shop",
            ),
            (
                "/usr/bin/python3.11",
                "python3 -mhttp.server 8000",
                "http.server",
            ),
            (
                "/usr/bin/python3.11",
                "python3 -um http.server 8000",
                "http.server",
            ),
            (
                "/usr/bin/python3.11",
                "python3 -Wignore -Ic 1",
                "python3.11",
            ),
            ("/usr/bin/python3.11", "python3 - x", "python3.11"),
            ("/usr/bin/perl", "perl -MJSON -lane 1 file", "perl"),
            ("/usr/bin/perl", "perl -MJSON -w app.pl", "app"),
            ("/usr/bin/ruby3.1", "ruby -rjson -W0 app.rb", "app"),
            ("/usr/bin/php8.2", "php -dfoo=1 -f a.php", "a"),
            ("/usr/bin/java", "java -mx512m -jar a.jar", "a"),
            ("/usr/bin/python3.11", "python3", "python3.11"),
            ("/usr/bin/python3.11", "python3 -m", "python3.11"),
            (
                "/usr/bin/node",
                "node --require ./tracing.js server.js",
                "server",
            ),
            (
                "/usr/bin/node",
                "node --max-old-space-size=64 /app/index.mjs",
                "index",
            ),
            ("/usr/bin/node", "node -e 1", "node"),
            ("/usr/bin/nodejs", "nodejs -- a.js", "a"),
            (
                "/usr/lib/jvm/17/bin/java",
                "java -Xmx1g -jar /app/shop-1.2.jar -x",
                "shop-1.2",
            ),
            (
                "/usr/bin/java",
                "java -cp a.jar:b com.example.Main arg",
                "com.example.Main",
            ),
            (
                "/usr/bin/java",
                "java -p mods -m shop/com.example.Main",
                "shop",
            ),
            ("/usr/bin/java", "java /tmp/Server.java", "Server"),
            ("/usr/bin/java", "java -version", "java"),
            ("/usr/bin/ruby3.1", "ruby -r json app.rb", "app"),
            ("/usr/bin/php8.2", "php -S 127.0.0.1:1 router.php", "router"),
            ("/usr/sbin/php-fpm8.2", "php-fpm: pool www", "php-fpm8.2"),
            ("/usr/bin/perl", "perl -Ilib app.psgi", "app"),
            ("/usr/bin/dotnet", "dotnet /app/Shop.dll", "Shop"),
            ("/usr/bin/dotnet", "dotnet exec Shop.dll", "Shop"),
            ("/usr/bin/deno", "deno run --allow-net main.ts", "main"),
            ("/usr/bin/nodemon", "nodemon x.js", "nodemon"),
        ] {
            let arguments: Vec<_> = command.split(' ').filter(|part| !part.is_empty()).collect();
            assert_eq!(
                service_name(executable, &arguments),
                wanted,
                "{executable}: {command}"
            );
        }
    }

    #[test]
    fn runtimes() {
        for (executable, wanted) in [
            ("/usr/bin/python3.11", Some("cpython")),
            ("node", Some("nodejs")),
            ("/usr/sbin/php-fpm8.2", Some("php")),
            ("/usr/bin/java", None),
            ("/usr/sbin/nginx", None),
        ] {
            assert_eq!(runtime_name(executable), wanted, "{executable}");
        }
    }
}
