module runclamp/integration/kubernetes

go 1.26.0
