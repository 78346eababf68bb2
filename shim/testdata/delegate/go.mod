// Of the name of runc's module, by which runclamp knows its delegate.
module github.com/opencontainers/runc

go 1.26
