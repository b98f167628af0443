<?php
// What php-fpm runs for fastcgi.py.
if ($_SERVER["SCRIPT_NAME"] === "/missing") {
    http_response_code(404);
} elseif (isset($_GET["fail"])) {
    http_response_code(500);
    error_log("it failed");
}
echo strlen(file_get_contents("php://input"));
