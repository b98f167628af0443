module clew.test/service

go 1.21
