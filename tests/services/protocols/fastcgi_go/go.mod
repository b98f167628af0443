module clew.test/fastcgi

go 1.21
