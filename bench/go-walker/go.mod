module walker

go 1.21
