//! The functions that a program registers.

use std::rc::Rc;

use actix_service::boxed::BoxService;
use actix_web::{
    Error, FromRequest, Handler, Responder, Route,
    body::MessageBody,
    dev::{
        Service, ServiceFactory, ServiceRequest, ServiceResponse, Transform, fn_factory, fn_service,
    },
    web::{self, ServiceConfig},
};

use crate::invocation::CURRENT;

/// The functions of the app, with the state and the middleware that they share.
pub struct Functions<'a> {
    config: &'a mut ServiceConfig,
    names: Vec<String>,
    routes: Vec<Route>,
    middleware: Vec<Box<dyn FnOnce(Route) -> Route>>,
}

impl Functions<'_> {
    /// Has functions registered, and serves each request by the one that was chosen for it. Gives the
    /// names of the functions.
    pub(crate) fn configure(
        config: &mut ServiceConfig,
        register: impl Fn(&mut Functions),
    ) -> Vec<String> {
        let mut functions = Functions {
            config,
            names: Vec::new(),
            routes: Vec::new(),
            middleware: Vec::new(),
        };
        register(&mut functions);
        let routes = Rc::new(functions.routes);
        let chosen = fn_factory(move || {
            let routes = Rc::clone(&routes);
            async move {
                let mut services = Vec::new();
                for route in routes.iter() {
                    services.push(route.new_service(()).await?);
                }
                let services = Rc::new(services);
                Ok::<_, ()>(fn_service(move |request: ServiceRequest| {
                    let index = CURRENT.with(|call| call.function);
                    services[index].call(request)
                }))
            }
        });
        let wraps = functions.middleware.into_iter();
        let route = wraps.fold(Route::new().service(chosen), |route, wrap| wrap(route));
        functions.config.default_service(route);
        functions.names
    }

    /// Registers a function under its name, that of the folder with its function.json. It is one of
    /// [actix-web's handlers](https://actix.rs/docs/handlers/), with all of its extractors.
    pub fn add<F, Args>(&mut self, name: &str, function: F)
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.route(name, web::to(function));
    }

    /// As [`add`](Self::add), for a function with middleware of its own:
    /// `functions.route("Name", web::to(function).wrap(middleware))`.
    ///
    /// The route's guards are not asked: the methods of a function stand in its function.json.
    pub fn route(&mut self, name: &str, route: Route) {
        self.names.push(name.to_owned());
        self.routes.push(route);
    }

    /// Shares state with all functions, which get it by `web::Data`, or configures an extractor.
    pub fn app_data<T: 'static>(&mut self, data: T) {
        self.config.app_data(data);
    }

    /// Wraps all functions in a middleware, which sees the calls of functions and no others. As in
    /// actix-web, the one that is registered last is the outermost.
    pub fn wrap<M, B>(&mut self, middleware: M)
    where
        M: Transform<
                BoxService<ServiceRequest, ServiceResponse, Error>,
                ServiceRequest,
                Response = ServiceResponse<B>,
                Error = Error,
                InitError = (),
            > + 'static,
        B: MessageBody + 'static,
    {
        self.middleware
            .push(Box::new(|route| route.wrap(middleware)));
    }
}
