// Lets manager.go declare a function without a body; see its comment.
